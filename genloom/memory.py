"""The memory that this process may use, and budgets: how many items of a size are held at once."""

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

from genloom.processors import list_control_groups
from genloom.types import Item, Space, TokenSpace


@dataclass(frozen=True)
class Memory:
    """Bytes of memory."""

    total: int
    available: int


def measure_memory(root: Path = Path("/")) -> Memory:
    """Return the memory of this machine, or less by the limits of its container and of this process (`ulimit -v`).

    `root` is the file system, for tests.
    """
    import psutil

    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    for folder, is_v1 in list_control_groups("memory", root):
        with suppress(OSError, ValueError):  # without a limit, or in another place
            limit = int((folder / ("memory.limit_in_bytes" if is_v1 else "memory.max")).read_text())
            used = int((folder / ("memory.usage_in_bytes" if is_v1 else "memory.current")).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            cached = int(statistics.get("inactive_file", 0)) + int(statistics.get("active_file", 0))
            total, available = min(total, limit), min(available, limit - used + cached)
    with suppress(ImportError):  # on other systems
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            total, available = min(total, limit), min(available, limit - psutil.Process().memory_info().vms)
    return Memory(total, max(available, 0))


def give_back_memory() -> None:
    """Give the memory that was freed back to the system; the C library keeps most of what loading a model took."""
    with suppress(OSError, AttributeError):  # of another C library
        ctypes.CDLL(None).malloc_trim(0)


def count_rows_within(bytes_per_item: float, budget: int, most: int) -> int:
    """Return how many items of this size fit in `budget` bytes: at least 1, and never more than `most`.

    A count alone suits only items of one size.
    """
    return max(1, min(most, int(budget // max(bytes_per_item, 1))))


def split_items(items: Iterable[Item], budget: int, most: int) -> Iterator[list[Item]]:
    """Yield lists of items of a data set, each of about `budget` bytes of stored values and never more than `most`."""
    batch, num_bytes = [], 0
    for item in items:
        batch.append(item)
        num_bytes += item.meta.get("bytes", 0)
        if len(batch) == most or num_bytes >= budget:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def count_sample_bytes(space: Space) -> int:
    """Return the bytes of a sample in memory, as tokens of 8 bytes or numbers of 4; 0 for sequences of any length."""
    if isinstance(space, TokenSpace):
        return 8 * (prod(space.grid) + 1) if space.grid else 0
    return 4 * space.channels * prod(space.size)
