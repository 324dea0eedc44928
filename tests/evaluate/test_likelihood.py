"""Bits per byte: the estimate, its interval, and paired comparisons."""

import math

import numpy as np
import pytest

from genloom.evaluate.likelihood import (
    BlockLosses,
    compare_bits_per_unit,
    compute_bits_per_unit,
)
from tests.errors import raises_code


def test_uniform_bytes_cost_eight_bits():
    estimate = compute_bits_per_unit(BlockLosses.from_pairs([(n * math.log(256), n) for n in (10, 200, 3000)]))
    assert estimate.mean == pytest.approx(8)
    assert (estimate.low, estimate.high) == (pytest.approx(8), pytest.approx(8))
    assert estimate.count == 3


def test_long_blocks_weigh_more():
    estimate = compute_bits_per_unit(BlockLosses.from_pairs([(math.log(2) * 100, 100), (math.log(2) * 3000, 1000)]))
    assert estimate.mean == pytest.approx(3100 / 1100)
    assert estimate.low < 1 < 3 < estimate.high, "the interval of two blocks extends beyond both"


def test_the_seed_makes_the_interval_reproducible():
    rng = np.random.default_rng(0)
    blocks = BlockLosses.from_pairs(zip(rng.gamma(20, 10, 40), rng.integers(50, 400, 40), strict=True))
    assert compute_bits_per_unit(blocks, seed=1) == compute_bits_per_unit(blocks, seed=1)
    assert compute_bits_per_unit(blocks, seed=1) != compute_bits_per_unit(blocks, seed=2)


def test_the_interval_of_one_block_is_infinite():
    estimate = compute_bits_per_unit(BlockLosses.from_pairs([(10.0, 10)]))
    assert estimate.mean == pytest.approx(1 / math.log(2))
    assert not estimate.excludes(100.0)


def test_pairing_shows_a_difference_that_separate_intervals_hide():
    rng = np.random.default_rng(3)
    sizes = rng.integers(800, 1200, 50)
    difficulty = rng.normal(2.0, 0.5, 50)  # that both models share
    first = BlockLosses.from_pairs(zip(sizes * difficulty, sizes, strict=True))
    second = BlockLosses.from_pairs(zip(sizes * (difficulty - 0.02 + rng.normal(0, 0.01, 50)), sizes, strict=True))
    difference = compare_bits_per_unit(first, second)
    assert difference.mean == pytest.approx(-0.02 / math.log(2), abs=0.01)
    assert difference.excludes(0)
    assert not compute_bits_per_unit(first).excludes(compute_bits_per_unit(second).mean)


def test_different_blocks_are_not_compared():
    with raises_code("evaluate.different_blocks"):
        compare_bits_per_unit(
            BlockLosses.from_pairs([(1.0, 2), (1.0, 3)]), BlockLosses.from_pairs([(1.0, 2), (1.0, 4)])
        )


def test_many_pairs_are_joined_without_loss():
    rng = np.random.default_rng(4)
    nats, sizes = rng.random(12_345), rng.integers(0, 9, 12_345)
    blocks = BlockLosses.from_pairs(zip(nats, sizes, strict=True))
    assert len(blocks.num_units) == 2000
    assert blocks.nats.sum() == pytest.approx(nats.sum())
    assert blocks.num_units.sum() == sizes.sum()
    assert compute_bits_per_unit(blocks).mean == pytest.approx(nats.sum() / math.log(2) / sizes.sum())


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([], "evaluate.nothing_held_out"),
        ([(0.0, 0)], "evaluate.nothing_held_out"),
        ([(math.nan, 3)], "evaluate.broken_weights"),
    ],
)
def test_invalid_losses_are_refused(pairs, code):
    with raises_code(code):
        BlockLosses.from_pairs(pairs)
