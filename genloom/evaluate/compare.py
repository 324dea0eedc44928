"""Two evaluations side by side, with a verdict only where the pieces bear one out."""

from dataclasses import dataclass
from typing import Any, Literal

from genloom.evaluate.likelihood import IntervalEstimate, compare_bits_per_byte
from genloom.evaluate.report import Evaluation, to_report

ComparisonVerdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Comparison:
    """`second` against `first` on the same pieces of text; the difference is in bits per byte, below zero is better."""

    first: Evaluation
    second: Evaluation
    difference: IntervalEstimate

    @property
    def verdict(self) -> ComparisonVerdict:
        """What the 95 % interval of the paired difference says of `second`."""
        if not self.difference.excludes(0.0):
            return "no difference shown"
        return "better" if self.difference.mean < 0 else "worse"

    def __str__(self) -> str:
        first, second, difference = self.first, self.second, self.difference
        if self.verdict == "no difference shown":
            reason = (
                "one piece of text cannot tell"
                if difference.count < 2
                else f"difference {_format_signed(difference)} bits/byte"
            )
            return f"no difference shown between {first.model} and {second.model} ({reason})"
        return f"{second.model} is {self.verdict} than {first.model}: {_format_signed(difference)} bits/byte on {difference.count} pieces"

    def to_report(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        first, second = to_report(self.first), to_report(self.second)
        difference = self.difference
        return {
            "first": first,
            "second": second,
            "difference": None
            if difference.count < 2
            else {"mean": difference.mean, "low": difference.low, "high": difference.high},
            "num_blocks": difference.count,
            "verdict": self.verdict,
        }


def compare_evaluations(first: Evaluation, second: Evaluation, seed: int = 0) -> Comparison:
    """Compares two models on the same text; raises ValueError where they were measured on different text."""
    if first.dataset != second.dataset:
        raise ValueError(
            f"{first.model} was measured on {first.dataset} and {second.model} on {second.dataset}; "
            "evaluate both on one dataset to compare them"
        )
    return Comparison(first, second, compare_bits_per_byte(first.losses, second.losses, seed))


def _format_signed(difference: IntervalEstimate) -> str:
    return f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
