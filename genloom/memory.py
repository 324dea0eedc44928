"""Memory budgets: how many items of a size are held at once. A count alone suits only items of one size."""

from collections.abc import Iterable, Iterator
from math import prod

from genloom.types import Item, Space, TokenSpace


def rows_within(bytes_per_item: float, budget: int, most: int) -> int:
    """Return how many items of this size fit in `budget` bytes: at least 1, and never more than `most`."""
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
