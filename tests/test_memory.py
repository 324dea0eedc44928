"""Memory budgets: the counts of small items as before, and fewer of large ones."""

import pytest

from genloom.generate import engine
from genloom.memory import count_sample_bytes, rows_within, split_items
from genloom.model import likelihood
from genloom.train.data import samples
from genloom.types import Item, SignalSpace, TokenSpace

IMAGE, LARGE_IMAGE, VIDEO = SignalSpace(3, (64, 64)), SignalSpace(3, (256, 256)), SignalSpace(3, (64, 128, 128))


@pytest.mark.parametrize(
    ("size", "budget", "most", "rows"), [(10, 100, 50, 10), (1, 100, 50, 50), (200, 100, 50, 1), (0, 9, 5, 5)]
)
def test_rows_within_a_budget(size, budget, most, rows):
    assert rows_within(size, budget, most) == rows


def test_bytes_of_a_sample():
    assert count_sample_bytes(IMAGE) == 4 * 3 * 64 * 64
    assert count_sample_bytes(TokenSpace(9, 17, grid=(4, 4))) == 8 * 17
    assert count_sample_bytes(TokenSpace(9, 1000)) == 0  # sequences of any length


@pytest.mark.parametrize(
    ("budget", "most"),
    [
        (engine.MAX_BATCH_BYTES, engine.MAX_BATCH_SIZE),
        (likelihood.BATCH_BYTES, likelihood.BATCH_SIZE),
        (samples.ENCODE_BYTES, samples.ENCODE_BATCH_SIZE),
        (samples.HELD_OUT_BYTES, 1024),
    ],
)
def test_budgets_limit_videos_but_not_images(budget, most):
    assert rows_within(count_sample_bytes(IMAGE), budget, most) == most
    assert rows_within(count_sample_bytes(LARGE_IMAGE), budget, most) == most
    assert rows_within(count_sample_bytes(VIDEO), budget, most) < most


def test_items_are_split_by_their_bytes():
    items = [Item(n, meta={"bytes": size}) for n, size in enumerate((60, 60, 1, 1, 1, 200))] + [Item(6)]
    batches = split_items(items, budget=100, most=3)
    assert [[item.value for item in batch] for batch in batches] == [[0, 1], [2, 3, 4], [5], [6]]
