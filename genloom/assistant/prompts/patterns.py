"""Regular expressions from files of others: one that may take forever runs in a process with a time limit."""

import atexit
import re
import threading
from functools import cache

from genloom.errors import GenloomError
from genloom.limited_process import LimitedProcess, LimitExceeded, limit_time

MAX_PATTERN_CHARS = 1000
MAX_TEXT_CHARS = 5000  # of an answer that a pattern reads
SEARCH_SECONDS = 2.0
_REPEATS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|(?P<repeat>[*+]|\{\d*,\})|(?P<reference>\(\?P=)")
_lock = threading.Lock()
_process = LimitedProcess()
atexit.register(_process.end)


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return a compiled pattern, which matches without regard to case, and ^ and $ at every line.

    Raises
    ------
    GenloomError
        assistant.pattern_too_long, assistant.bad_pattern.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        raise GenloomError("assistant.pattern_too_long", size=len(pattern), limit=MAX_PATTERN_CHARS)
    try:
        return re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise GenloomError("assistant.bad_pattern", pattern=pattern, reason=error) from None


def has_match(pattern: str, text: str) -> bool:
    """Return whether a pattern matches anywhere in a text, of which the first `MAX_TEXT_CHARS` characters are read.

    Raises
    ------
    TimeoutError
        The search took more than `SEARCH_SECONDS`.
    """
    compiled, text = compile_pattern(pattern), text[:MAX_TEXT_CHARS]
    if is_fast(pattern):
        return compiled.search(text) is not None
    with _lock:
        try:
            return _process.call(search_limited, pattern, text)
        except LimitExceeded:
            raise TimeoutError(pattern) from None


def is_fast(pattern: str) -> bool:
    """Return whether a search takes no longer than the square of the text: at most one repeat has no bound."""
    found = list(_REPEATS.finditer(pattern))
    return sum(bool(match["repeat"]) for match in found) <= 1 and not any(match["reference"] for match in found)


def search_limited(pattern: str, text: str) -> bool:
    """Search a text; this process ends if that takes too long."""
    with limit_time(SEARCH_SECONDS):
        return compile_pattern(pattern).search(text) is not None
