"""Names of things in the workspace, and the ids of runs and outputs."""

import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime

from genloom.errors import GenloomError, find_nearest
from genloom.program import name_program

_MAX_NAME_BYTES = 128
_MAX_NAMES_SHOWN = 8
_MARKS = frozenset("-_. ")
ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts like numbers, no i l o u to misread
_ID_DIGITS = 6


def validate_name(name: str, kind: str) -> str:
    """Return `name` in Unicode's composed form (NFC), valid as a folder's name; ValueError says what is wrong with it.

    Allowed are letters and digits of any script, blanks, `-`, `_` and `.`, up to 128 bytes of UTF-8.
    """
    if not name:
        raise GenloomError("store.empty_name", kind=kind)
    if not isinstance(name, str):
        raise GenloomError("store.name_not_text", kind=kind, name=repr(name)[:80])
    try:
        nfc_name = unicodedata.normalize("NFC", name)
        size = len(nfc_name.encode())
    except UnicodeEncodeError:
        raise GenloomError("store.invalid_unicode_name", kind=kind, name=name) from None
    if size > _MAX_NAME_BYTES:
        raise GenloomError("store.name_too_long", kind=kind, name=nfc_name[:32], size=size, limit=_MAX_NAME_BYTES)
    bad_chars = sorted(
        {c for c in nfc_name if not (c.isalnum() or c in _MARKS or unicodedata.category(c).startswith("M"))}
    )
    if bad_chars:
        raise GenloomError("store.bad_name_chars", kind=kind, name=nfc_name, chars=", ".join(map(repr, bad_chars)))
    if nfc_name[0] in "-. " or nfc_name[-1] in ". ":
        raise GenloomError("store.bad_name_ends", kind=kind, name=nfc_name)
    return nfc_name


def unknown_name_error(kind: str, name: str, known_names: Iterable[str], cure: str) -> GenloomError:
    """Return the error for an unknown name: it suggests the nearest known one, else lists some, else gives the cure."""
    names = sorted(known_names)
    if (close := find_nearest(name, names)) is not None:
        return GenloomError("store.unknown_name_near", kind=kind, name=name, nearest=close)
    if names:
        known = ", ".join(map(repr, names[:_MAX_NAMES_SHOWN])) + (", …" if len(names) > _MAX_NAMES_SHOWN else "")
        return GenloomError("store.unknown_name", kind=kind, name=name, known=known)
    return GenloomError("store.nothing_known", kind=kind, name=name, cure=name_program(cure))


def unknown_id_error(kind: str, id: str, known_ids: Iterable[str], command: str, cure: str) -> GenloomError:
    """Return the error for an unknown id: ids that differ in random digits are listed by a command, not suggested."""
    if any(True for _ in known_ids):
        return GenloomError("store.unknown_id", kind=kind, id=id, command=name_program(command))
    return GenloomError("store.nothing_known", kind=kind, name=id, cure=name_program(cure))


def make_timed_id(moment: datetime, offset: int = 0) -> str:
    """Return an id that sorts by time and starts with the date: `2026-11-21-g0r4t7`; raise `offset` if it is taken.

    The six digits are the time of day (UTC) in steps of 80 µs. An offset past midnight stays on the day.
    """
    moment = moment.astimezone(UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    steps = len(ID_ALPHABET) ** _ID_DIGITS
    step = int((moment - midnight).total_seconds() / 86_400 * steps) + offset
    digits = ""
    for _ in range(_ID_DIGITS):
        step, digit = divmod(step, len(ID_ALPHABET))
        digits = ID_ALPHABET[digit] + digits
    return f"{moment:%Y-%m-%d}-{digits}"


def is_timed_id(text: str) -> bool:
    """Return whether `text` has the form of an id; only then may it become part of a path."""
    day, digits = text[:10], text[11:]
    return (
        len(text) == 11 + _ID_DIGITS
        and text[10] == "-"
        and all(c in ID_ALPHABET for c in digits)
        and all(c in "0123456789" if i not in (4, 7) else c == "-" for i, c in enumerate(day))
    )
