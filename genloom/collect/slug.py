"""Convert names and other short strings from outside, not all of which are valid Unicode, for display and records."""

import os


def escape_name(name: str | os.PathLike[str]) -> str:
    """Return the name with an escape like \\xff for each byte that is not UTF-8, whatever the locale."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def decode_lossy(name: str) -> str:
    """Return the readable part of a name: bytes that are not UTF-8 become U+FFFD, which is not a letter."""
    return os.fsencode(name).decode("utf-8", "replace")


def replace_surrogates(text: str) -> str:
    """Return the text with "?" for each lone surrogate, which careless JSON writers leave and UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
