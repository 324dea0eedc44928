"""Comparison of two evaluations, with a verdict only if the difference is significant."""

from dataclasses import dataclass
from typing import Any, Literal

from genloom.errors import GenloomError
from genloom.evaluate.likelihood import compare_bits_per_byte
from genloom.evaluate.report import Evaluation, to_report
from genloom.metrics.statistics import IntervalEstimate

ComparisonVerdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Comparison:
    """`second` against `first` on the same blocks of text; the difference is in bits per byte, negative is better."""

    first: Evaluation
    second: Evaluation
    difference: IntervalEstimate

    @property
    def verdict(self) -> ComparisonVerdict:
        """The verdict on `second`, from the 95 % interval of the paired difference."""
        if not self.difference.excludes(0.0):
            return "no difference shown"
        return "better" if self.difference.mean < 0 else "worse"

    def __str__(self) -> str:
        first, second, difference = self.first.model, self.second.model, self.difference
        if self.verdict != "no difference shown":
            change = f"{_format_signed(difference)} bits/byte on {difference.count} blocks"
            return f"{second} is {self.verdict} than {first}: {change}"
        is_single = difference.count < 2
        reason = (
            "one block of text is too little" if is_single else f"difference {_format_signed(difference)} bits/byte"
        )
        return f"no difference shown between {first} and {second} ({reason})"

    def to_report(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        difference = self.difference
        interval = {"mean": difference.mean, "low": difference.low, "high": difference.high}
        return {
            "first": to_report(self.first),
            "second": to_report(self.second),
            "difference": None if difference.count < 2 else interval,
            "num_blocks": difference.count,
            "verdict": self.verdict,
        }


def compare_evaluations(first: Evaluation, second: Evaluation, seed: int = 0) -> Comparison:
    """Compare two models on the same text; raises ValueError if they were measured on different text."""
    if first.dataset != second.dataset:
        raise GenloomError(
            "evaluate.different_datasets",
            first=first.model,
            first_dataset=first.dataset,
            second=second.model,
            second_dataset=second.dataset,
        )
    return Comparison(first, second, compare_bits_per_byte(first.losses, second.losses, seed))


def _format_signed(difference: IntervalEstimate) -> str:
    return f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
