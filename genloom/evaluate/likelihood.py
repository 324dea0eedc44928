"""Bits per byte of a model on held-out pieces of text, with the interval that so many pieces allow."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_MOST_BLOCKS = 2000
_RESAMPLES = 2000
_FEW = 8  # pieces; resampling fewer never leaves their own range, which is far too narrow


@dataclass(frozen=True)
class Estimate:
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
class Pieces:
    """What pieces of text cost a model: nats and bytes of each, in reading order."""

    nats: NDArray[np.float64]
    bytes: NDArray[np.float64]

    @staticmethod
    def of(pairs: Iterable[tuple[float, int]]) -> "Pieces":
        """Gathers (nats, bytes) pairs; many pieces are joined, neighbour with neighbour, to at most 2,000 blocks.

        Raises ValueError where nothing was measured, or a likelihood is not a number.
        """
        nats, sizes = np.array(list(pairs), np.float64).reshape(-1, 2).T
        if sizes.sum() <= 0:
            raise ValueError("there is no held-out text to measure on; collect more, or evaluate on another split")
        if not np.isfinite(nats).all():
            broken = int((~np.isfinite(nats)).sum())
            raise ValueError(
                f"the model gave {broken} of {len(nats)} texts no finite likelihood; its weights are broken"
            )
        if len(nats) > _MOST_BLOCKS:
            first = np.arange(_MOST_BLOCKS) * len(nats) // _MOST_BLOCKS
            nats, sizes = np.add.reduceat(nats, first), np.add.reduceat(sizes, first)
        return Pieces(nats, sizes)


def bits_per_byte(pieces: Pieces, seed: int = 0) -> Estimate:
    """Bits per byte over all pieces; the interval is a seeded bootstrap over pieces."""
    found = ratio(pieces.nats / math.log(2), pieces.bytes, seed)
    return replace(found, low=max(found.low, 0.0))


def difference(first: Pieces, second: Pieces, seed: int = 0) -> Estimate:
    """Bits per byte of `second` minus those of `first` on the same pieces; below zero, `second` is the better model.

    Resampling whole pieces keeps what both models find hard together, so the interval is far narrower than that of two
    separate measurements. Raises ValueError where the pieces are not the same.
    """
    if len(first.bytes) != len(second.bytes) or (first.bytes != second.bytes).any():
        raise ValueError("the two models were not measured on the same pieces of text; evaluate both again")
    return ratio((second.nats - first.nats) / math.log(2), first.bytes, seed)


def ratio(above: NDArray[np.float64], below: NDArray[np.float64], seed: int = 0) -> Estimate:
    """sum(above) / sum(below) with a 95 % interval: Student's for few pieces, else an expanded percentile bootstrap.

    Student's is of the linearised ratio (Cochran, "Sampling Techniques", 1977, section 6.3). Efron's percentile
    interval is too narrow for few pieces; its tails are set back by Hesterberg's correction ("What teachers should know
    about the bootstrap", 2014, section 5.3).
    """
    count = len(above)
    mean = float(above.sum() / below.sum())
    if count < 2:
        return Estimate(mean, -math.inf, math.inf, count)
    if count < _FEW:
        spread = math.sqrt(count / (count - 1) * ((above - mean * below) ** 2).sum()) / below.sum()
        reach = _student(count - 1) * float(spread)
        return Estimate(mean, mean - reach, mean + reach, count)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _RESAMPLES).astype(np.float64)
    weight = drawn @ below
    means = (drawn @ above)[weight > 0] / weight[weight > 0]
    tail = NormalDist().cdf(-math.sqrt(count / (count - 1)) * _student(count - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(mean, min(float(low), mean), max(float(high), mean), count)


def _student(freedom: int) -> float:
    """The 97.5 % point of Student's t; Abramowitz and Stegun 26.7.5, within 1 % from 4 degrees of freedom on."""
    if freedom < 4:
        return (12.706, 4.303, 3.182)[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
