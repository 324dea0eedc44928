"""Scores of a battery's tasks: accuracy with Wilson's interval, and paired comparisons of two models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloom.metrics.statistics import IntervalEstimate, compute_wilson_interval, estimate_ratio
from genloom.text_format import format_table


@dataclass(frozen=True)
class Score:
    """A model's score in one task under one metric."""

    task: str
    metric: str
    credits: tuple[float, ...]  # one per item: 1 right, 0 wrong, a fraction for ties
    chance_accuracy: float  # of guessing
    bound: float = 1.0  # the best possible accuracy: below 1 if the detector that scores makes errors

    @property
    def name(self) -> str:
        return f"{self.task}: {self.metric}"

    @property
    def accuracy(self) -> IntervalEstimate:
        return compute_wilson_interval(sum(self.credits), len(self.credits))

    def to_json(self) -> dict[str, Any]:
        """Return the score as JSON values."""
        estimate = self.accuracy
        values = {
            "accuracy": estimate.mean,
            "low": estimate.low,
            "high": estimate.high,
            "items": estimate.count,
            "chance_accuracy": self.chance_accuracy,
            "bound": self.bound,
        }
        return {"task": self.task, "metric": self.metric, **values, "credits": list(self.credits)}


@dataclass(frozen=True)
class ScoreComparison:
    """The second model's accuracy minus the first's on the same items."""

    first: Score
    second: Score
    difference: IntervalEstimate

    @property
    def verdict(self) -> str:
        if not self.difference.excludes(0.0):
            return "no difference shown"
        return "better" if self.difference.mean > 0 else "worse"

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        difference = {"mean": self.difference.mean, "low": self.difference.low, "high": self.difference.high}
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "difference": difference,
            "verdict": self.verdict,
        }


def compare_scores(first: Sequence[Score], second: Sequence[Score]) -> list[ScoreComparison]:
    """Pair two models' scores, with bootstrap intervals over their common items."""
    second_by_name = {score.name: score for score in second}
    comparisons = []
    for score in first:
        second_score = second_by_name.get(score.name)
        if second_score is None:  # one of the models cannot chat
            continue
        gains = np.array(second_score.credits) - np.array(score.credits)
        comparisons.append(ScoreComparison(score, second_score, estimate_ratio(gains, np.ones(len(gains)))))
    return comparisons


def format_scores(scores: Sequence[Score]) -> list[str]:
    """Return scores as a table; chance and the detector's own accuracy are columns where they say something."""
    has_chance, has_bound = any(s.chance_accuracy for s in scores), any(s.bound < 1 for s in scores)
    header = ("task", "measure", "accuracy", "95 % interval", "items")
    rows = [
        (s.task, s.metric, format_percent(s.accuracy.mean), format_interval(s.accuracy), str(s.accuracy.count))
        for s in scores
    ]
    columns = [("chance", [s.chance_accuracy for s in scores])] * has_chance
    columns += [("real data, same detector", [s.bound for s in scores])] * has_bound
    for name, shares in columns:
        header = (*header, name)
        rows = [(*row, format_percent(share)) for row, share in zip(rows, shares, strict=True)]
    return format_table([header, *rows])


def format_gaps(first: str, second: str, gaps: Sequence[ScoreComparison]) -> list[str]:
    """Return as a table how much more accurate the second model is than the first."""
    header = ("task", "measure", first, second, "difference", "95 % interval", "verdict")
    rows = [
        (
            gap.first.task,
            gap.first.metric,
            format_percent(gap.first.accuracy.mean),
            format_percent(gap.second.accuracy.mean),
            f"{100 * gap.difference.mean:+.1f} %",
            format_interval(gap.difference),
            gap.verdict,
        )
        for gap in gaps
    ]
    return format_table([header, *rows])


def format_percent(share: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * share:.1f} %"


def format_interval(estimate: IntervalEstimate) -> str:
    """Return the bounds of a share in percent."""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
