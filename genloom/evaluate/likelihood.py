"""Bits per byte of a model on held-out text, with a confidence interval over blocks of text."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError
from genloom.metrics.statistics import IntervalEstimate, estimate_ratio

_MAX_BLOCKS = 2000


@dataclass(frozen=True)
class BlockLosses:
    """A model's loss on blocks of text, in reading order: nats and bytes of each block."""

    nats: NDArray[np.float64]
    num_bytes: NDArray[np.float64]

    @staticmethod
    def from_pairs(pairs: Iterable[tuple[float, int]]) -> "BlockLosses":
        """Gather (nats, bytes) pairs; join neighbours if there are more than 2,000.

        Raises ValueError if there is no text, or a likelihood is not finite.
        """
        nats, sizes = np.array(list(pairs), np.float64).reshape(-1, 2).T
        if sizes.sum() <= 0:
            raise GenloomError("evaluate.no_held_out_text")
        if not np.isfinite(nats).all():
            raise GenloomError("evaluate.broken_weights", num_broken=int((~np.isfinite(nats)).sum()), count=len(nats))
        if len(nats) > _MAX_BLOCKS:
            block_starts = np.arange(_MAX_BLOCKS) * len(nats) // _MAX_BLOCKS
            nats, sizes = np.add.reduceat(nats, block_starts), np.add.reduceat(sizes, block_starts)
        return BlockLosses(nats, sizes)


def compute_bits_per_byte(losses: BlockLosses, seed: int = 0) -> IntervalEstimate:
    """Return bits per byte over all blocks; the interval is a seeded bootstrap over blocks."""
    estimate = estimate_ratio(losses.nats / math.log(2), losses.num_bytes, seed)
    return replace(estimate, low=max(estimate.low, 0.0))


def compare_bits_per_byte(first: BlockLosses, second: BlockLosses, seed: int = 0) -> IntervalEstimate:
    """Return bits per byte of `second` minus those of `first` on the same blocks; negative if `second` is better.

    Resampling whole blocks keeps the difficulty that both models share together, so the interval is far narrower than
    the difference of two separate measurements. Raises ValueError if the blocks differ.
    """
    if len(first.num_bytes) != len(second.num_bytes) or (first.num_bytes != second.num_bytes).any():
        raise GenloomError("evaluate.different_blocks")
    return estimate_ratio((second.nats - first.nats) / math.log(2), first.num_bytes, seed)
