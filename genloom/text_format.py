"""Format counts, sizes, durations and tables for people."""

import re
from collections.abc import Mapping, Sequence
from typing import Any


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Return the count with its noun: `1 file`, `1,200 files`; `2 entries` where the plural is given."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


# Nouns that follow a number in the templates of texts; a word that is none of them is a verb, as in "version 1 has".
_PLURALS = frozenset(
    """answers atoms attributes axes bars bits branches bytes calls cells channels chapters characters classes
    columns copies cores devices documents elements entries epochs examples features files forces frames grids
    groups heads hours images items jobs keys labels lengths lines merges messages minutes models networks notes
    numbers objects ones outputs pages parameters parts passages pictures pieces pixels places points positions
    prompts ranks ratings requests rounds rows samples seconds steps tables terms texts ticks tokens tools tunes
    types values versions voices words""".split()  # noqa: SIM905
)
_SINGULARS = {"axes": "axis", "branches": "branch", "classes": "class", "copies": "copy", "entries": "entry"}
_VERBS = {"are": "is", "were": "was", "have": "has", "do": "does"}
_COUNTED = re.compile(
    r"(\{(\w+)(?::[^{}]*)?\} (?:(?!of |and |to |or |times )[a-z-]+ ){0,2}?)([a-z]+s)\b( (?:are|were|have|do)\b)?"
)


def agree_with_counts(template: str, fields: Mapping[str, Any]) -> str:
    """Return a template of `str.format` with the nouns of the fields that are 1 in the singular, and their verbs."""

    def agree(found: re.Match[str]) -> str:
        start, name, noun, verb = found.groups()
        value = fields.get(name)
        if noun not in _PLURALS or isinstance(value, bool) or not isinstance(value, int | float) or value != 1:
            return found[0]
        return f"{start}{_SINGULARS.get(noun, noun[:-1])}{f' {_VERBS[verb.strip()]}' if verb else ''}"

    return _COUNTED.sub(agree, template)


def format_bytes(count: float) -> str:
    """Return a number of bytes with its unit: `1.1 MB`."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} bytes"


def format_duration(seconds: float) -> str:
    """Return a duration with its units: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    total_seconds = round(seconds)
    if total_seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{total_seconds} s"
    if total_seconds < 3600:
        return f"{total_seconds // 60} min {total_seconds % 60} s"
    return f"{total_seconds // 3600} h {total_seconds % 3600 // 60} min"


def quote_beginning(text: str, max_chars: int) -> str:
    """Return the beginning of a text on one line, of at most this many characters."""
    line = " ".join(text.split())
    return line if len(line) <= max_chars else f"{line[: max_chars - 1]}…"


def format_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def format_markdown_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ("---",) * len(header), *rows])


# Characters by which a text from outside could move a terminal's cursor, change its colours or turn its direction.
_DIRECTION_CHARS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROL_CHARS = dict.fromkeys((*range(32), *range(127, 160), *_DIRECTION_CHARS), "\ufffd")
del _CONTROL_CHARS[ord("\n")], _CONTROL_CHARS[ord("\t")]
_JSON_ESCAPES = {n: f"\\u{n:04x}" for n in (*range(127, 160), *_DIRECTION_CHARS)}


def remove_controls(text: str) -> str:
    """Return the text with U+FFFD for each character that controls a terminal; newlines and tabs stay."""
    return text.translate(_CONTROL_CHARS)


def escape_json_controls(text: str) -> str:
    """Return JSON with escapes for the characters that control a terminal and that JSON leaves as they are."""
    return text.translate(_JSON_ESCAPES)


def fix_surrogates(text: str) -> str:
    """Join surrogate pairs, and replace lone surrogates, which are not characters, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
