"""Held-out loss with a confidence interval over blocks: bits per unit of the medium, or the objective's loss."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError
from genloom.evaluate.report import Verdict, difference_to_json, estimate_to_json, get_verdict
from genloom.metrics.statistics import IntervalEstimate, estimate_ratio
from genloom.model.likelihood import HELD_OUT_LOSS, to_metric_key

_MAX_BLOCKS = 2000


@dataclass(frozen=True)
class BlockLosses:
    """A model's loss on blocks of data, in reading order: nats and units of each block."""

    nats: NDArray[np.float64]
    num_units: NDArray[np.float64]

    @staticmethod
    def from_pairs(pairs: Iterable[tuple[float, float]]) -> "BlockLosses":
        """Gather (nats, units) pairs; join neighbours if there are more than 2,000.

        Raises ValueError if there are no units, or a likelihood is not finite.
        """
        nats, sizes = np.array(list(pairs), np.float64).reshape(-1, 2).T
        if sizes.sum() <= 0:
            raise GenloomError("evaluate.nothing_held_out")
        if not np.isfinite(nats).all():
            raise GenloomError("evaluate.broken_weights", num_broken=int((~np.isfinite(nats)).sum()), count=len(nats))
        if len(nats) > _MAX_BLOCKS:
            block_starts = np.arange(_MAX_BLOCKS) * len(nats) // _MAX_BLOCKS
            nats, sizes = np.add.reduceat(nats, block_starts), np.add.reduceat(sizes, block_starts)
        return BlockLosses(nats, sizes)

    def to_json(self) -> dict[str, list[float]]:
        return {"nats": self.nats.tolist(), "num_units": self.num_units.tolist()}


@dataclass(frozen=True)
class HeldOutLoss:
    """A model's loss on held-out data; lower is better.

    `dataset` is a digest and a split, so that only measurements on the same data are compared.
    """

    model: str
    dataset: str
    losses: BlockLosses
    unit: str = "byte"  # of the medium; "": the blocks are samples, and the loss is the objective's per term
    scale: str = ""  # without a unit: whose loss it is, "flow over pixels"; losses of others mean something else

    @property
    def metric(self) -> str:
        loss = f"{HELD_OUT_LOSS} of {self.scale}" if self.scale else HELD_OUT_LOSS
        return f"bits per {self.unit}" if self.unit else loss

    @property
    def key(self) -> str:
        """The record key of the metric."""
        return to_metric_key(f"bits per {self.unit}" if self.unit else HELD_OUT_LOSS)

    @property
    def estimate(self) -> IntervalEstimate:
        if self.unit:
            return compute_bits_per_unit(self.losses)
        return estimate_ratio(self.losses.nats, self.losses.num_units)

    def to_json(self) -> dict[str, Any]:
        """Return the loss as JSON values."""
        return {
            "model": self.model,
            "dataset": self.dataset,
            self.key: estimate_to_json(self.estimate),
            "losses": self.losses.to_json(),
        }


@dataclass(frozen=True)
class Baseline:
    """The loss of a model that a network must beat to be worth its training time, on the same data."""

    name: str  # e.g. "n-gram baseline"
    losses: BlockLosses

    @property
    def bits_per_unit(self) -> IntervalEstimate:
        return compute_bits_per_unit(self.losses)


def compute_bits_per_unit(losses: BlockLosses, seed: int = 0) -> IntervalEstimate:
    """Return bits per unit over all blocks; the interval is a seeded bootstrap over blocks."""
    estimate = estimate_ratio(losses.nats / math.log(2), losses.num_units, seed)
    return replace(estimate, low=max(estimate.low, 0.0))


def compare_losses(
    first: BlockLosses, second: BlockLosses, seed: int = 0, nats_per_unit: float = 1.0
) -> IntervalEstimate:
    """Return the loss of `second` minus that of `first` on the same blocks; negative if `second` is better.

    Resampling whole blocks keeps the difficulty that both models share together, so the interval is far narrower than
    the difference of two separate measurements. Raises ValueError if the blocks differ.
    """
    if len(first.num_units) != len(second.num_units) or (first.num_units != second.num_units).any():
        raise GenloomError("evaluate.different_blocks")
    return estimate_ratio((second.nats - first.nats) / nats_per_unit, first.num_units, seed)


def compare_bits_per_unit(first: BlockLosses, second: BlockLosses, seed: int = 0) -> IntervalEstimate:
    """Return the difference of `compare_losses` in bits per unit."""
    return compare_losses(first, second, seed, math.log(2))


@dataclass(frozen=True)
class LossComparison:
    """`second` against `first` on the same blocks of data; a negative difference is better."""

    first: HeldOutLoss
    second: HeldOutLoss
    difference: IntervalEstimate

    @property
    def verdict(self) -> Verdict:
        """The verdict on `second`, from the 95 % interval of the paired difference."""
        return get_verdict(self.difference)

    def __str__(self) -> str:
        first, second, difference = self.first.model, self.second.model, self.difference
        change = f"{_format_signed(difference)} {self.first.metric}"
        if self.verdict != "no difference shown":
            return f"{second} is {self.verdict} than {first}: {change}, on {self._describe_amount()}"
        reason = f"{self._describe_amount()} are too few" if difference.count < 2 else f"difference {change}"
        return f"no difference shown between {first} and {second} ({reason})"

    def _describe_amount(self) -> str:
        """Return on how much held-out data the models were compared, in the units of the medium."""
        unit = self.first.unit or "sample"
        amount = self.first.losses.num_units.sum() if self.first.unit else self.difference.count
        return f"{amount:,.0f} held-out {unit}s"

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "difference": difference_to_json(self.difference),
            "num_blocks": self.difference.count,
        }


def compare_held_out(first: HeldOutLoss, second: HeldOutLoss, seed: int = 0) -> LossComparison:
    """Compare two models on the same data; raises ValueError for different data, and for losses on different scales."""
    if first.metric != second.metric:
        raise GenloomError(
            "evaluate.different_losses",
            first=first.model, first_metric=first.metric, second=second.model, second_metric=second.metric,
        )  # fmt: skip
    if first.dataset != second.dataset:
        raise GenloomError(
            "evaluate.different_datasets",
            first=first.model,
            first_dataset=first.dataset,
            second=second.model,
            second_dataset=second.dataset,
        )
    compare = compare_bits_per_unit if first.unit else compare_losses
    return LossComparison(first, second, compare(first.losses, second.losses, seed))


def _format_signed(difference: IntervalEstimate) -> str:
    return f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
