"""Intervals cover the truth as often as they claim, and agree with published tables."""

import math

import numpy as np
import pytest

from genloom.metrics.statistics import (
    IntervalEstimate,
    bootstrap_interval,
    clopper_pearson,
    compute_wilson_interval,
    estimate_ratio,
    student_t_quantile,
)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 7, 8, 15, pytest.param(60, marks=pytest.mark.slow)])
def test_the_interval_of_a_ratio_covers_the_truth(count):
    rng = np.random.default_rng(count)
    sizes = rng.integers(500, 1500, (400, count)).astype(float)
    costs = sizes * rng.normal(2.0, 0.4, (400, count))
    covered = [not estimate_ratio(cost, size).excludes(2.0) for cost, size in zip(costs, sizes, strict=True)]
    assert 0.91 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("count", [10, 40])
def test_the_bootstrap_interval_of_a_mean_covers_the_truth(count):
    rng = np.random.default_rng(0)
    intervals = [bootstrap_interval(rng.uniform(size=count)) for _ in range(200)]
    assert np.mean([low <= 0.5 <= high for low, high in intervals]) > 0.92


def test_the_interval_of_one_value_is_infinite():
    assert bootstrap_interval(np.array([3.0])) == (-math.inf, math.inf)
    assert estimate_ratio(np.ones(1), np.ones(1)) == IntervalEstimate(1.0, -math.inf, math.inf, 1)


def test_quantiles_of_students_t():
    quantiles = [student_t_quantile(n) for n in (1, 2, 3, 4, 9, 30, 1000)]
    assert quantiles == pytest.approx([12.706, 4.303, 3.182, 2.776, 2.262, 2.042, 1.962], rel=0.01)


def test_wilsons_interval():
    """Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    known = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (num_correct, count), interval in known.items():
        estimate = compute_wilson_interval(num_correct, count)
        assert (estimate.low, estimate.high) == pytest.approx(interval, abs=5e-5)
        assert estimate.mean == num_correct / count
    assert compute_wilson_interval(20, 20).high == pytest.approx(1)


def test_the_clopper_pearson_interval_is_exact():
    """Against a table of the binomial distribution."""
    assert clopper_pearson(9, 10) == (pytest.approx(0.5550, abs=1e-3), pytest.approx(0.9975, abs=1e-3))
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(0.3085, abs=1e-3))
    assert clopper_pearson(10, 10) == (pytest.approx(0.6915, abs=1e-3), 1.0)
    assert clopper_pearson(150, 200) == (pytest.approx(0.6840, abs=1e-3), pytest.approx(0.8084, abs=1e-3))


def test_an_estimate_as_text():
    assert str(IntervalEstimate(2.38312, 2.3306, 2.4291, 9)) == "2.383 [2.331, 2.429]"
