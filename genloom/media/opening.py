"""Opening of a file from outside: one that may take far more time or memory than its size suggests, with limits."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from genloom import limited_process
from genloom.errors import GenloomError
from genloom.limited_process import LimitExceeded

Value = TypeVar("Value")


def open_limited(opener: Callable[[Path], Value], path: Path) -> Value:
    """Return what `open` of a medium returns, or a similar function of a module; raise GenloomError at a limit."""
    path = Path(path)
    try:
        return limited_process.read_limited(opener, path)
    except (LimitExceeded, MemoryError) as error:
        if isinstance(error, LimitExceeded) and error.is_time:
            seconds = f"{limited_process.limits.seconds_for(path.stat().st_size):.0f}"
            reason = GenloomError("media.time_limit", seconds=seconds)
        else:
            reason = GenloomError("media.memory_limit", limit=limited_process.limits.memory_bytes >> 30)
        raise GenloomError("media.unreadable", path=path, reason=reason) from error
