"""Confidence intervals of 95 %: bootstrap and Student's t for means and ratios, Wilson, Clopper–Pearson for shares."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05  # how often an interval misses, both sides together
_Z = NormalDist().inv_cdf(1 - ALPHA / 2)
_NUM_RESAMPLES = 2000
_MIN_BOOTSTRAP_COUNT = 8  # resamples of fewer values stay within their range, which gives far too narrow an interval


@dataclass(frozen=True)
class IntervalEstimate:
    """A mean and its 95 % interval over `count` values; the interval of one value is infinite."""

    mean: float
    low: float
    high: float
    count: int

    def excludes(self, value: float) -> bool:
        return not self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate_ratio(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64], seed: int = 0
) -> IntervalEstimate:
    """Estimate sum(numerators) / sum(denominators): Student's t for few pairs, else an expanded percentile bootstrap.

    Student's interval is that of the linearised ratio (Cochran, "Sampling Techniques", 1977, section 6.3). Efron's
    percentile interval is too narrow for few values; Hesterberg's correction moves its tails outwards ("What teachers
    should know about the bootstrap", 2014, section 5.3).
    """
    count = len(numerators)
    mean = float(numerators.sum() / denominators.sum())
    if count < 2:
        return IntervalEstimate(mean, -math.inf, math.inf, count)
    if count < _MIN_BOOTSTRAP_COUNT:
        residuals = numerators - mean * denominators
        standard_error = math.sqrt(count / (count - 1) * (residuals**2).sum()) / denominators.sum()
        half_width = student_t_quantile(count - 1) * float(standard_error)
        return IntervalEstimate(mean, mean - half_width, mean + half_width, count)
    resample_counts = _draw_resamples(count, seed).astype(np.float64)
    weights = resample_counts @ denominators
    means = (resample_counts @ numerators)[weights > 0] / weights[weights > 0]
    tail = NormalDist().cdf(-math.sqrt(count / (count - 1)) * student_t_quantile(count - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return IntervalEstimate(mean, min(float(low), mean), max(float(high), mean), count)


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean (Efron 1979), widened for few values; infinite for one value.

    The correction is Hesterberg's (2014, section 5.3), as a factor on the distance from the mean.
    """
    count = len(values)
    if count < 2:
        return -math.inf, math.inf
    means = _draw_resamples(count, seed) @ values / count
    scale = math.sqrt(count / (count - 1)) * student_t_quantile(count - 1) / _Z
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    mean = float(values.mean())
    return mean - scale * (mean - float(low)), mean + scale * (float(high) - mean)


def student_t_quantile(degrees_of_freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t.

    From 4 degrees of freedom on it is an expansion that is within 1 % (Abramowitz and Stegun, 26.7.5).
    """
    if degrees_of_freedom < 4:
        return (12.706, 4.303, 3.182)[degrees_of_freedom - 1]
    z = _Z
    terms = (z, (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return sum(term / degrees_of_freedom**power for power, term in enumerate(terms))


def compute_wilson_interval(num_correct: float, count: int) -> IntervalEstimate:
    """Return the share `num_correct / count` with Wilson's interval (1927), which is accurate near 0 and 1 too."""
    share = num_correct / count
    centre, half_width = (
        share + _Z**2 / (2 * count),
        _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2),
    )
    scale = 1 + _Z**2 / count
    return IntervalEstimate(
        share, max((centre - half_width) / scale, 0.0), min((centre + half_width) / scale, 1.0), count
    )


def clopper_pearson(num_wins: float, count: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson 1934); ties, counted half, only make it wider."""
    p = (np.arange(20000) + 0.5) / 20000

    def beta_quantile(a: float, b: float, q: float) -> float:
        log_density = (a - 1) * np.log(p) + (b - 1) * np.log1p(-p)
        mass = np.cumsum(np.exp(log_density - log_density.max()))
        return float(np.interp(q, mass / mass[-1], p))

    low = 0.0 if num_wins <= 0 else beta_quantile(num_wins, count - num_wins + 1, alpha / 2)
    high = 1.0 if num_wins >= count else beta_quantile(num_wins + 1, count - num_wins, 1 - alpha / 2)
    return low, high


def _draw_resamples(count: int, seed: int) -> NDArray[np.int64]:
    """Return how often each of `count` values is drawn in each bootstrap resample."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _NUM_RESAMPLES)
