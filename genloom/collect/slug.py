"""Names and other short strings as they are told and recorded: not all that come from outside can be written."""

import os


def escape_name(name: str | os.PathLike[str]) -> str:
    """The name with an escape like \\xff for each byte that is not UTF-8; the same whatever the locale."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def decode_lossy(name: str) -> str:
    """The name for what can be read in it: each stretch of it that is not UTF-8 becomes a sign that is no letter."""
    return os.fsencode(name).decode("utf-8", "replace")


def replace_surrogates(text: str) -> str:
    """The words with a question mark for half a surrogate pair, as a careless JSON writer leaves, which is no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
