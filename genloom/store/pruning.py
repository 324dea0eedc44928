"""Caches in a workspace within a bound: the files that were used longest ago are removed first."""

import os
import time
from contextlib import suppress
from pathlib import Path

KEPT_SECONDS = 600.0  # after its last use, in which a file may still be read
_KEPT_SHARE = 0.8  # of the bound, so that not every new file needs another look at all of them


def note_use(path: Path) -> None:
    """Set the time of a file to now, by which `prune_folder` chooses."""
    with suppress(OSError):
        os.utime(path)


def prune_folder(folder: Path, max_bytes: int, kept_seconds: float = KEPT_SECONDS) -> int:
    """Remove files from a folder with more than `max_bytes`, down to four fifths of it; return how many bytes.

    Those that were used in the last `kept_seconds` stay, and so do folders.
    """
    found: list[tuple[float, int, str]] = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with suppress(OSError):  # another process prunes too
                state = os.stat(path)
                found.append((state.st_mtime, state.st_size, path))
    size, removed, limit = sum(each[1] for each in found), 0, time.time() - kept_seconds
    if size <= max_bytes:
        return 0
    for used_at, num_bytes, path in sorted(found):
        if size - removed <= _KEPT_SHARE * max_bytes or used_at > limit:
            break
        with suppress(OSError):
            os.unlink(path)
            removed += num_bytes
    return removed
