"""pass@k: the probability that one of k programs is right, estimated from n of which c are (Chen et al. 2021)."""

from collections.abc import Sequence
from math import prod

import numpy as np

from genloom.metrics.statistics import bootstrap_interval


def estimate_pass_at_k(num_programs: int, num_correct: int, k: int) -> float:
    """Return the unbiased estimate 1 - C(n - c, k) / C(n, k) of a problem.

    Raise ValueError unless 0 <= num_correct <= num_programs and 1 <= k <= num_programs.
    """
    if not (0 <= num_correct <= num_programs and 1 <= k <= num_programs):
        raise ValueError(f"pass@{k} needs at least {k} programs (got {num_correct} right of {num_programs}).")
    if num_programs - num_correct < k:
        return 1.0
    return 1.0 - prod(1.0 - k / n for n in range(num_programs - num_correct + 1, num_programs + 1))


def measure_pass_at_k(counts: Sequence[tuple[int, int]], k: int) -> tuple[float, tuple[float, float]]:
    """Return the mean over problems, each (programs, right ones), and its 95 % bootstrap interval, cut at 0 and 1."""
    values = np.array([estimate_pass_at_k(num_programs, num_correct, k) for num_programs, num_correct in counts])
    low, high = bootstrap_interval(values)
    return float(values.mean()), (max(low, 0.0), min(high, 1.0))
