"""The battery's tasks scored: shares of right answers with Wilson's interval, and two models paired item by item."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from genloom.evaluate.likelihood import IntervalEstimate, estimate_ratio
from genloom.evaluate.text.battery.continuation_scorer import ContinuationScore, ContinuationScorer
from genloom.evaluate.text.battery.instructions import build_instructions
from genloom.evaluate.text.battery.items import (
    BatteryItem,
    build_arithmetic_items,
    build_choice_items,
    build_cloze_items,
)

_TIE_TOLERANCE = 1e-6  # nats within which two continuations are equally likely

AnswerFn = Callable[
    [Sequence[str]], Sequence[str]
]  # what a model answers to each question, in a conversation of its own


@dataclass(frozen=True)
class Score:
    """How much of a task was right under one measure."""

    task: str
    metric: str
    credits: tuple[float, ...]  # one an item: 1 right, 0 wrong, a share where several were equally likely
    chance_accuracy: float  # what guessing reaches
    bound: float = 1.0  # what could be reached: below 1 where whoever judges errs

    @property
    def name(self) -> str:
        return f"{self.task}: {self.metric}"

    @property
    def accuracy(self) -> IntervalEstimate:
        return compute_wilson_interval(sum(self.credits), len(self.credits))

    def to_report(self) -> dict[str, Any]:
        """The score as JSON values."""
        estimate = self.accuracy
        values = {
            "accuracy": estimate.mean,
            "low": estimate.low,
            "high": estimate.high,
            "items": estimate.count,
            "chance_accuracy": self.chance_accuracy,
        }
        values |= {"bound": self.bound}
        return {"task": self.task, "metric": self.metric, **values, "credits": list(self.credits)}


def compute_wilson_interval(num_correct: float, count: int) -> IntervalEstimate:
    """The share `right` of `count` with Wilson's 95 % interval (1927), which holds near 0 and 1 too."""
    z, share = NormalDist().inv_cdf(0.975), num_correct / count
    middle, spread = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    scale = 1 + z * z / count
    return IntervalEstimate(share, max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0), count)


def score_task(task: str, reader: ContinuationScorer, answer_fn: AnswerFn | None, max_items: int = 0) -> list[Score]:
    """A task's scores, on its first `most` items (0: all). Instructions need `answer`, and have no score without."""
    if task == "instructions":
        return [] if answer_fn is None else _score_instructions(answer_fn, max_items)
    build_items, score_items = _TASKS[task]
    items = build_items()[: max_items or None]
    return score_items(items, list(reader([(item.context, item.continuations) for item in items])))


def _score_cloze(items: list[BatteryItem], costs: list[list[ContinuationScore]]) -> list[Score]:
    return [
        Score("cloze", "of four words", _compute_credits(costs, [[1] * len(cost) for cost in costs]), 0.25),
        Score("cloze", "first guess", tuple(float(cost[0].is_greedy) for cost in costs), 0.0),
    ]


def _score_choice(items: list[BatteryItem], costs: list[list[ContinuationScore]]) -> list[Score]:
    sizes = [[len(text.encode()) for text in item.continuations] for item in items]
    return [
        Score("choice", "likelihood per byte", _compute_credits(costs, sizes), 0.25),
        Score("choice", "likelihood", _compute_credits(costs, [[1] * len(cost) for cost in costs]), 0.25),
    ]


def _score_arithmetic(items: list[BatteryItem], costs: list[list[ContinuationScore]]) -> list[Score]:
    item_credits = [float(cost[0].is_greedy) for cost in costs]
    kinds = dict.fromkeys(item.kind for item in items)
    parts = {
        kind: [credit for credit, item in zip(item_credits, items, strict=True) if item.kind == kind] for kind in kinds
    }
    return [Score("arithmetic", kind, tuple(part), 0.0) for kind, part in {"exact": item_credits, **parts}.items()]


def _score_instructions(answer_fn: AnswerFn, max_items: int) -> list[Score]:
    instruction_items = build_instructions()[: max_items or None]
    answers = answer_fn([instruction.prompt for instruction in instruction_items])
    item_credits = tuple(float(i.is_followed(text)) for i, text in zip(instruction_items, answers, strict=True))
    return [Score("instructions", "followed", item_credits, 0.0)]


_TASKS: Mapping[
    str,
    tuple[Callable[[], list[BatteryItem]], Callable[[list[BatteryItem], list[list[ContinuationScore]]], list[Score]]],
] = {
    "cloze": (build_cloze_items, _score_cloze),
    "choice": (build_choice_items, _score_choice),
    "arithmetic": (build_arithmetic_items, _score_arithmetic),
}
TASKS = (*_TASKS, "instructions")


def _compute_credits(costs: list[list[ContinuationScore]], sizes: list[list[int]]) -> tuple[float, ...]:
    """1 where the right continuation, the first, costs least for its size; a share where others cost the same."""
    item_credits = []
    for row, size in zip(costs, sizes, strict=True):
        costs_per_unit = np.array([cost.nats for cost in row]) / size
        is_tied = costs_per_unit <= costs_per_unit.min() + _TIE_TOLERANCE
        item_credits.append(float(is_tied[0] / is_tied.pooled_proj()))
    return tuple(item_credits)


@dataclass(frozen=True)
class ScoreComparison:
    """What the second model gets right more than the first on the same items; below zero: less."""

    first: Score
    second: Score
    difference: IntervalEstimate

    @property
    def verdict(self) -> str:
        if not self.difference.excludes(0.0):
            return "no difference shown"
        return "better" if self.difference.mean > 0 else "worse"


def compare_scores(first: Sequence[Score], second: Sequence[Score]) -> list[ScoreComparison]:
    """Two models' scores paired, with bootstrap intervals over the items that both were asked."""
    second_by_name = {score.name: score for score in second}
    comparisons = []
    for score in first:
        second_score = second_by_name.get(score.name)
        if second_score is None:  # one of the two cannot chat
            continue
        gains = np.array(second_score.credits) - np.array(score.credits)
        comparisons.append(ScoreComparison(score, second_score, estimate_ratio(gains, np.ones(len(gains)))))
    return comparisons
