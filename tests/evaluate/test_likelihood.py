"""Bits per byte: the number, and an interval that covers the truth as often as it says."""

import math

import numpy as np
import pytest

from genloom.evaluate.likelihood import (
    BlockLosses,
    IntervalEstimate,
    compare_bits_per_byte,
    compute_bits_per_byte,
    estimate_ratio,
)


def test_uniform_bytes_cost_eight_bits():
    estimate = compute_bits_per_byte(BlockLosses.from_pairs([(n * math.log(256), n) for n in (10, 200, 3000)]))
    assert estimate.mean == pytest.approx(8)
    assert (estimate.low, estimate.high) == (pytest.approx(8), pytest.approx(8))
    assert estimate.count == 3


def test_long_pieces_count_for_more():
    estimate = compute_bits_per_byte(BlockLosses.from_pairs([(math.log(2) * 100, 100), (math.log(2) * 3000, 1000)]))
    assert estimate.mean == pytest.approx(3100 / 1100)
    assert estimate.low < 1 < 3 < estimate.high, "two pieces tell little, so the interval reaches beyond both"


def test_the_seed_decides_and_the_interval_is_around_the_mean():
    rng = np.random.default_rng(0)
    pieces = BlockLosses.from_pairs(zip(rng.gamma(20, 10, 40), rng.integers(50, 400, 40), strict=True))
    assert compute_bits_per_byte(pieces, seed=1) == compute_bits_per_byte(pieces, seed=1)
    assert compute_bits_per_byte(pieces, seed=1) != compute_bits_per_byte(pieces, seed=2)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 7, 8, 15, 60])
def test_the_interval_covers_the_truth(count):
    rng = np.random.default_rng(count)
    sizes = rng.integers(500, 1500, (400, count)).astype(float)
    costs = sizes * rng.normal(2.0, 0.4, (400, count))
    covered = [not estimate_ratio(cost, size).excludes(2.0) for cost, size in zip(costs, sizes, strict=True)]
    assert 0.91 <= np.mean(covered) <= 0.99


def test_one_piece_bounds_nothing():
    estimate = compute_bits_per_byte(BlockLosses.from_pairs([(10.0, 10)]))
    assert estimate.mean == pytest.approx(1 / math.log(2))
    assert not estimate.excludes(100.0)


def test_pairs_show_what_two_separate_intervals_hide():
    rng = np.random.default_rng(3)
    sizes = rng.integers(800, 1200, 50)
    hard = rng.normal(2.0, 0.5, 50)  # what both models find hard
    first = BlockLosses.from_pairs(zip(sizes * hard, sizes, strict=True))
    second = BlockLosses.from_pairs(zip(sizes * (hard - 0.02 + rng.normal(0, 0.01, 50)), sizes, strict=True))
    gap = compare_bits_per_byte(first, second)
    assert gap.mean == pytest.approx(-0.02 / math.log(2), abs=0.01)
    assert gap.excludes(0)
    assert not compute_bits_per_byte(first).excludes(compute_bits_per_byte(second).mean)


def test_different_pieces_are_not_compared():
    with pytest.raises(ValueError, match="same pieces"):
        compare_bits_per_byte(
            BlockLosses.from_pairs([(1.0, 2), (1.0, 3)]), BlockLosses.from_pairs([(1.0, 2), (1.0, 4)])
        )


def test_many_pieces_become_blocks_with_nothing_lost():
    rng = np.random.default_rng(4)
    nats, sizes = rng.random(12_345), rng.integers(0, 9, 12_345)
    pieces = BlockLosses.from_pairs(zip(nats, sizes, strict=True))
    assert len(pieces.num_bytes) == 2000
    assert pieces.nats.sum() == pytest.approx(nats.sum())
    assert pieces.num_bytes.sum() == sizes.sum()
    assert compute_bits_per_byte(pieces).mean == pytest.approx(nats.sum() / math.log(2) / sizes.sum())


@pytest.mark.parametrize(
    ("pairs", "said"), [([], "no held-out text"), ([(0.0, 0)], "no held-out"), ([(math.nan, 3)], "broken")]
)
def test_what_cannot_be_measured_is_refused(pairs, said):
    with pytest.raises(ValueError, match=said):
        BlockLosses.from_pairs(pairs)


def test_reads_well():
    assert str(IntervalEstimate(2.38312, 2.3306, 2.4291, 9)) == "2.383 [2.331, 2.429]"
