"""Bits per byte of a model on held-out pieces of text, with the interval that so many pieces allow."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_MAX_BLOCKS = 2000
_NUM_RESAMPLES = 2000
_MIN_BOOTSTRAP_COUNT = 8  # pieces; resampling fewer never leaves their own range, which is far too narrow


@dataclass(frozen=True)
class IntervalEstimate:
    """A mean and its 95 % interval, resting on `count` pieces; one piece alone bounds nothing."""

    mean: float
    low: float
    high: float
    count: int

    def excludes(self, value: float) -> bool:
        return not self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class BlockLosses:
    """What pieces of text cost a model: nats and bytes of each, in reading order."""

    nats: NDArray[np.float64]
    num_bytes: NDArray[np.float64]

    @staticmethod
    def from_pairs(pairs: Iterable[tuple[float, int]]) -> "BlockLosses":
        """Gathers (nats, bytes) pairs; many pieces are joined, neighbour with neighbour, to at most 2,000 blocks.

        Raises ValueError where nothing was measured, or a likelihood is not a number.
        """
        nats, sizes = np.array(list(pairs), np.float64).reshape(-1, 2).T
        if sizes.sum() <= 0:
            raise ValueError("there is no held-out text to measure on; collect more, or evaluate on another split")
        if not np.isfinite(nats).all():
            num_broken = int((~np.isfinite(nats)).sum())
            raise ValueError(
                f"the model gave {num_broken} of {len(nats)} texts no finite likelihood; its weights are broken"
            )
        if len(nats) > _MAX_BLOCKS:
            block_starts = np.arange(_MAX_BLOCKS) * len(nats) // _MAX_BLOCKS
            nats, sizes = np.add.reduceat(nats, block_starts), np.add.reduceat(sizes, block_starts)
        return BlockLosses(nats, sizes)


def compute_bits_per_byte(losses: BlockLosses, seed: int = 0) -> IntervalEstimate:
    """Bits per byte over all pieces; the interval is a seeded bootstrap over pieces."""
    estimate = estimate_ratio(losses.nats / math.log(2), losses.num_bytes, seed)
    return replace(estimate, low=max(estimate.low, 0.0))


def compare_bits_per_byte(first: BlockLosses, second: BlockLosses, seed: int = 0) -> IntervalEstimate:
    """Bits per byte of `second` minus those of `first` on the same pieces; below zero, `second` is the better model.

    Resampling whole pieces keeps what both models find hard together, so the interval is far narrower than that of two
    separate measurements. Raises ValueError where the pieces are not the same.
    """
    if len(first.num_bytes) != len(second.num_bytes) or (first.num_bytes != second.num_bytes).any():
        raise ValueError("the two models were not measured on the same pieces of text; evaluate both again")
    return estimate_ratio((second.nats - first.nats) / math.log(2), first.num_bytes, seed)


def estimate_ratio(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64], seed: int = 0
) -> IntervalEstimate:
    """sum(above) / sum(below) with a 95 % interval: Student's for few pieces, else an expanded percentile bootstrap.

    Student's is of the linearised ratio (Cochran, "Sampling Techniques", 1977, section 6.3). Efron's percentile
    interval is too narrow for few pieces; its tails are set back by Hesterberg's correction ("What teachers should know
    about the bootstrap", 2014, section 5.3).
    """
    count = len(numerators)
    mean = float(numerators.sum() / denominators.sum())
    if count < 2:
        return IntervalEstimate(mean, -math.inf, math.inf, count)
    if count < _MIN_BOOTSTRAP_COUNT:
        standard_error = (
            math.sqrt(count / (count - 1) * ((numerators - mean * denominators) ** 2).sum()) / denominators.sum()
        )
        half_width = _student_t_quantile(count - 1) * float(standard_error)
        return IntervalEstimate(mean, mean - half_width, mean + half_width, count)
    resample_counts = (
        np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _NUM_RESAMPLES).astype(np.float64)
    )
    weight = resample_counts @ denominators
    means = (resample_counts @ numerators)[weight > 0] / weight[weight > 0]
    tail = NormalDist().cdf(-math.sqrt(count / (count - 1)) * _student_t_quantile(count - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return IntervalEstimate(mean, min(float(low), mean), max(float(high), mean), count)


def _student_t_quantile(degrees_of_freedom: int) -> float:
    """The 97.5 % point of Student's t; Abramowitz and Stegun 26.7.5, within 1 % from 4 degrees of freedom on."""
    if degrees_of_freedom < 4:
        return (12.706, 4.303, 3.182)[degrees_of_freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / degrees_of_freedom**power for power, term in enumerate(terms))
