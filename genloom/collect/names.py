"""Names of files as they are told and recorded: a disk may hold some that are not UTF-8."""

import os


def shown(name: str | os.PathLike[str]) -> str:
    """The name with an escape like \\xff for each byte that is not UTF-8; the same whatever the locale."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def legible(name: str) -> str:
    """The name for what can be read in it: each stretch of it that is not UTF-8 becomes a sign that is no letter."""
    return os.fsencode(name).decode("utf-8", "replace")
