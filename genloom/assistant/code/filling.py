"""Gaps in files: lines that a model writes again, between those before and after them."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genloom.assistant.code.python_source import find_syntax_error
from genloom.capabilities import get_fill_tokens
from genloom.codecs.fill_tokens import FillTokens, encode_gap, encode_part
from genloom.errors import GenloomError

MAX_FILE_BYTES = 1 << 20
MARK = "⟨fill⟩"  # stands for the gap in the record of an output
_IMPORT = re.compile(r"^(?:from|import)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_TARGET = re.compile(r"(.+?):(\d+)(?:-(\d+))?", re.DOTALL)
_MIN_SUFFIX_SHARE = 0.25  # of the tokens that are read, which the suffix may have if the prefix is long
MAX_CUTS = 12  # ends of one continuation that are tried without fill tokens
CONTEXT_CHARS, SUFFIX_CHARS = 1200, 200  # that tell how well a suffix follows
EXTRA_LINES = 6  # more than the gap had, after which a continuation without fill tokens is cut


@dataclass(frozen=True)
class Gap:
    """Lines `first` to `last` of a text, which are written again; line ends are "\\n", whatever the file has."""

    prefix: str
    suffix: str
    original: str
    first: int
    last: int
    newline: str = "\n"
    path: str = ""

    @property
    def prompt(self) -> str:
        """The text with a mark in the place of the gap."""
        return f"{self.prefix}{MARK}\n{self.suffix}"

    @property
    def indent(self) -> str:
        """The blanks before the first line of the gap, or before the line above a gap without text."""
        lines = [line for line in self.original.splitlines() if line.strip()]
        lines = lines or [line for line in self.prefix.splitlines() if line.strip()][-1:]
        return re.match(r"[ \t]*", lines[0])[0] if lines else ""  # ty: ignore[not-subscriptable]  it always matches

    @property
    def is_tabbed(self) -> bool:
        """Whether the lines around the gap are indented by tabs alone."""
        blanks = re.findall(r"^[ \t]+(?=\S)", self.prefix + self.suffix, re.MULTILINE)
        return bool(blanks) and all(set(blank) == {"\t"} for blank in blanks)

    def fill(self, middle: str) -> str:
        """Return the whole text with the middle in the gap."""
        return self.prefix + middle + self.suffix

    def list_foreign_imports(self) -> list[str]:
        """Return the modules that the file imports at its top level and that are not of the standard library."""
        found = _IMPORT.findall(self.prefix + self.suffix)
        return list(dict.fromkeys(name for name in found if name not in sys.stdlib_module_names))

    def find_problem(self) -> str:
        """Return why the text around the gap does not parse, whatever is in it; "" if it can."""
        for middle in (self.original, f"{self.indent}pass\n", ""):
            error = find_syntax_error(self.fill(middle))
            if not error:
                return ""
        return error


def parse_target(target: str) -> tuple[Path, int, int]:
    """Return the file and the lines of "file.py:10-14" or "file.py:10"; raise GenloomError (code.bad_target)."""
    match = _TARGET.fullmatch(target)
    if match is None:
        raise GenloomError("code.bad_target", target=target)
    first, last = int(match[2]), int(match[3] or match[2])
    if not 1 <= first <= last:
        raise GenloomError("code.bad_target", target=target)
    return Path(match[1]), first, last


def read_gap(path: Path, first: int, last: int) -> Gap:
    """Return the gap of these lines, counted from 1, both included.

    Raise GenloomError: code.unreadable_file for a file that is missing, large or no text; code.lines_outside.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise GenloomError("code.unreadable_file", path=path, reason=error.strerror or error) from None
    if len(data) > MAX_FILE_BYTES:
        raise GenloomError("code.unreadable_file", path=path, reason=f"it has more than {MAX_FILE_BYTES:,} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise GenloomError("code.unreadable_file", path=path, reason="it is not text in UTF-8")
    return cut_gap(text, first, last, str(path))


def cut_gap(text: str, first: int, last: int, path: str = "") -> Gap:
    """Return the gap of lines of a text; raise GenloomError (code.lines_outside) if it has fewer."""
    newline = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
    lines = text.replace("\r\n", "\n").split("\n")
    num_lines = len(lines) - (lines[-1] == "")
    if last > num_lines:
        raise GenloomError("code.lines_outside", path=path, first=first, last=last, count=num_lines)
    has_end = last < len(lines)
    before, middle, after = lines[: first - 1], lines[first - 1 : last], lines[last:]
    prefix = "".join(f"{line}\n" for line in before)
    return Gap(prefix, "\n".join(after), "\n".join(middle) + "\n" * has_end, first, last, newline, path)


def clean_middle(gap: Gap, middle: str) -> str:
    """Return a middle as whole lines in the manner of the file: cut where the suffix begins, and indented as it is."""
    middle = middle.replace("\r\n", "\n").replace("\r", "\n")
    head = next((line for line in gap.suffix.splitlines() if line.strip()), "")
    lines = middle.rstrip().split("\n")
    while len(lines) > 1 and not lines[0].strip():
        lines = lines[1:]
    for number, line in enumerate(lines):
        if number and head.strip() and len(head.strip()) > 3 and line.rstrip() == head.rstrip():
            lines = lines[:number]
            break
    if lines and gap.indent and lines[0] and not lines[0][0].isspace():
        lines[0] = gap.indent + lines[0]  # a model may take the blanks of the first line as given
    if gap.is_tabbed:
        lines = [re.sub(r"^(?: {4})+", lambda match: "\t" * (len(match[0]) // 4), line) for line in lines]
    text = "\n".join(lines).rstrip()
    return f"{text}\n" if text else ""


def encode_prompt(
    codec: Any, gap: Gap, max_tokens: int, context_length: int, is_spm: bool = False
) -> tuple[np.ndarray, int]:
    """Return the ids after which a model writes the middle, and how many tokens of the file were left out.

    The tokens next to the gap are kept, half of them before it and half after where both sides are long.
    """
    tokens = get_fill_tokens(codec)
    assert tokens is not None, "the codec has fill tokens"
    room = max(context_length - max_tokens - 4, 2)
    prefix, num_before = keep_end(codec, gap.prefix, tokens, room)
    suffix, num_after = keep_begin(codec, gap.suffix, tokens, max(room - num_before, int(room * _MIN_SUFFIX_SHARE)))
    prefix, num_before = keep_end(codec, prefix, tokens, room - num_after)
    total = sum(len(encode_part(codec, text, tokens)) for text in (gap.prefix, gap.suffix))
    ids = np.concatenate([[codec.space.bos], encode_gap(codec, tokens, prefix, suffix, is_spm)])
    return ids, max(total - num_before - num_after, 0)


def keep_end(codec: Any, text: str, tokens: FillTokens, limit: int) -> tuple[str, int]:
    """Return the last whole lines of a text that have at most so many tokens, and their number of tokens."""
    size = len(encode_part(codec, text, tokens))
    while size > limit and text:
        cut = text.find("\n", len(text) - len(text) * limit // size - 1)
        text = text[cut + 1 :] if 0 <= cut < len(text) - 1 else ""
        size = len(encode_part(codec, text, tokens))
    return text, size


def keep_begin(codec: Any, text: str, tokens: FillTokens, limit: int) -> tuple[str, int]:
    """Return the first whole lines of a text that have at most so many tokens, and their number of tokens."""
    size = len(encode_part(codec, text, tokens))
    while size > limit and text:
        cut = text.rfind("\n", 0, max(len(text) * limit // size, 0))
        text = text[: cut + 1] if cut >= 0 else ""
        size = len(encode_part(codec, text, tokens))
    return text, size


def continue_lines(gap: Gap, continuation: str) -> str:
    """Return what a model wrote after the prefix as lines of the gap.

    The prompt ends before the last line end of the prefix, so what comes before the first one belongs to that line.
    """
    continuation = continuation.replace("\r\n", "\n")
    return continuation.partition("\n")[2] if gap.prefix else continuation


def list_cuts(gap: Gap, text: str) -> list[str]:
    """Return the beginnings of a continuation that may be the middle, in whole lines; those that parse, if any do."""
    lines = text.rstrip().split("\n")
    num_lines = gap.last - gap.first + 1 + EXTRA_LINES
    middles = ["\n".join(lines[:count]) + "\n" for count in range(1, min(len(lines), num_lines) + 1)]
    middles = list(dict.fromkeys(clean_middle(gap, middle) for middle in middles if middle.strip()))
    parsing = [middle for middle in middles if not find_syntax_error(gap.fill(middle))]
    return (parsing or middles)[:MAX_CUTS]


def score_suffixes(model: Any, gap: Gap, middles: Sequence[str]) -> Iterator[float]:
    """Yield how well the suffix follows each middle: the nats of its beginning, larger is better."""
    from genloom.model.likelihood import compute_nll

    head = gap.suffix[:SUFFIX_CHARS]
    contexts = [(gap.prefix + middle)[-CONTEXT_CHARS:] for middle in middles]
    texts = [text for context in contexts for text in (context + head, context)]
    nats = [value for value, _ in compute_nll(model, texts)]
    yield from (before - whole for whole, before in zip(nats[::2], nats[1::2], strict=True))
