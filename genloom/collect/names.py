"""Names and other short strings as they are told and recorded: not all that come from outside can be written."""

import os


def shown(name: str | os.PathLike[str]) -> str:
    """The name with an escape like \\xff for each byte that is not UTF-8; the same whatever the locale."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def legible(name: str) -> str:
    """The name for what can be read in it: each stretch of it that is not UTF-8 becomes a sign that is no letter."""
    return os.fsencode(name).decode("utf-8", "replace")


def writable(words: str) -> str:
    """The words with a question mark for half a surrogate pair, as a careless JSON writer leaves, which is no UTF-8."""
    return words.encode("utf-8", "replace").decode("utf-8")
