"""Names of things in the workspace, and the ids that runs and outputs are known by."""

import difflib
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime

_LONGEST_NAME_BYTES = 128
_MARKS = frozenset("-_. ")
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts like numbers, no i l o u to misread
_ID_DIGITS = 6


def validate_name(name: str, kind: str) -> str:
    """`name` in Unicode's composed form (NFC), fit to be a folder's name; ValueError says what is wrong with it.

    Letters and digits of any script, blanks, `-`, `_` and `.` are fine, up to 128 bytes of UTF-8.
    """
    if not name:
        raise ValueError(f"The {kind} has an empty name. Give it one, like: notes")
    try:
        nfc_name = unicodedata.normalize("NFC", name)
        size = len(nfc_name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"The {kind} name {name!r} is not valid Unicode. Choose another one.") from None
    if size > _LONGEST_NAME_BYTES:
        raise ValueError(f"The {kind} name {nfc_name[:32]!r}… is {size} bytes long; {_LONGEST_NAME_BYTES} is the most.")
    bad_chars = sorted(
        {c for c in nfc_name if not (c.isalnum() or c in _MARKS or unicodedata.category(c).startswith("M"))}
    )
    if bad_chars:
        raise ValueError(
            f"The {kind} name {nfc_name!r} contains {', '.join(map(repr, bad_chars))}. "
            "Use letters, digits, blanks, '-', '_' and '.'."
        )
    if nfc_name[0] in "-. " or nfc_name[-1] in ". ":
        raise ValueError(
            f"The {kind} name {nfc_name!r} must start with a letter or digit and not end in a dot or blank."
        )
    return nfc_name


def unknown_name_error(kind: str, name: str, known_names: Iterable[str], cure: str) -> ValueError:
    """The error for a name that is not there: suggests the nearest known one, else what there is, else the cure."""
    names = sorted(known_names)
    close_matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close_matches:
        return ValueError(f"There is no {kind} {name!r}. Did you mean {close_matches[0]!r}?")
    if names:
        listing = ", ".join(repr(n) for n in names[:8]) + (", …" if len(names) > 8 else "")
        return ValueError(f"There is no {kind} {name!r}. There is {listing}.")
    return ValueError(f"There is no {kind} {name!r}, and none at all yet. {cure}")


def make_timed_id(moment: datetime, offset: int = 0) -> str:
    """An id that sorts by time and reads as a date: `2026-11-21-g0r4t7`; `later` counts up from it where it is taken.

    The six digits are the time of day (UTC) in steps of 80 µs. Counting past midnight stays on the day.
    """
    moment = moment.astimezone(UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    steps = len(_DIGITS) ** _ID_DIGITS
    step = int((moment - midnight).total_seconds() / 86_400 * steps) + offset
    digits = ""
    for _ in range(_ID_DIGITS):
        step, digit = divmod(step, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return f"{moment:%Y-%m-%d}-{digits}"


def is_timed_id(text: str) -> bool:
    """Whether `text` has the form of an id; only then may it become part of a path."""
    day, digits = text[:10], text[11:]
    return (
        len(text) == 11 + _ID_DIGITS
        and text[10] == "-"
        and all(c in _DIGITS for c in digits)
        and all(c in "0123456789" if i not in (4, 7) else c == "-" for i, c in enumerate(day))
    )
