"""Two evaluations side by side, with a verdict only where the pieces bear one out."""

from dataclasses import dataclass
from typing import Any, Literal

from genloom.evaluate.likelihood import Estimate, difference
from genloom.evaluate.report import Evaluation, to_report

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Comparison:
    """`second` against `first` on the same pieces of text; the difference is in bits per byte, below zero is better."""

    first: Evaluation
    second: Evaluation
    difference: Estimate

    @property
    def verdict(self) -> Verdict:
        """What the 95 % interval of the paired difference says of `second`."""
        if not self.difference.excludes(0.0):
            return "no difference shown"
        return "better" if self.difference.mean < 0 else "worse"

    def __str__(self) -> str:
        first, second, gap = self.first, self.second, self.difference
        if self.verdict == "no difference shown":
            why = "one piece of text cannot tell" if gap.count < 2 else f"difference {_signed(gap)} bits/byte"
            return f"no difference shown between {first.model} and {second.model} ({why})"
        return f"{second.model} is {self.verdict} than {first.model}: {_signed(gap)} bits/byte on {gap.count} pieces"

    def report(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        first, second = to_report(self.first), to_report(self.second)
        gap = self.difference
        return {
            "first": first,
            "second": second,
            "difference": None if gap.count < 2 else {"mean": gap.mean, "low": gap.low, "high": gap.high},
            "pieces": gap.count,
            "verdict": self.verdict,
        }


def compare(first: Evaluation, second: Evaluation, seed: int = 0) -> Comparison:
    """Compares two models on the same text; raises ValueError where they were measured on different text."""
    if first.dataset != second.dataset:
        raise ValueError(
            f"{first.model} was measured on {first.dataset} and {second.model} on {second.dataset}; "
            "evaluate both on one dataset to compare them"
        )
    return Comparison(first, second, difference(first.pieces, second.pieces, seed))


def _signed(gap: Estimate) -> str:
    return f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
