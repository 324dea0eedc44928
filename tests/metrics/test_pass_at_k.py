"""pass@k is the share of draws of k programs with a right one, and has the estimator's known values."""

from itertools import combinations
from math import isclose

import pytest

from genloom.metrics.pass_at_k import estimate_pass_at_k, measure_pass_at_k


@pytest.mark.parametrize("num_programs", [1, 4, 7])
def test_the_estimate_is_the_mean_over_all_draws(num_programs: int) -> None:
    for num_correct in range(num_programs + 1):
        is_correct = [number < num_correct for number in range(num_programs)]
        for k in range(1, num_programs + 1):
            draws = list(combinations(is_correct, k))
            expected = sum(map(any, draws)) / len(draws)
            assert isclose(estimate_pass_at_k(num_programs, num_correct, k), expected, abs_tol=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 0), (5, 1, 6)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@"):
        estimate_pass_at_k(n, c, k)


def test_the_interval_is_over_problems() -> None:
    value, (low, high) = measure_pass_at_k([(10, 10)] * 30 + [(10, 0)] * 30, 1)
    assert value == 0.5
    assert 0.3 < low < 0.5 < high < 0.7
    assert measure_pass_at_k([(10, 0)] * 5, 10) == (0.0, (0.0, 0.0))
