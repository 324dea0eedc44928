"""The tasks of the battery, scored."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from genloom.evaluate.scores import Score
from genloom.evaluate.text.battery.continuation_scorer import ContinuationScore, ContinuationScorer
from genloom.evaluate.text.battery.instructions import build_instructions
from genloom.evaluate.text.battery.items import (
    BatteryItem,
    build_arithmetic_items,
    build_choice_items,
    build_cloze_items,
)

_TIE_TOLERANCE = 1e-6  # nats within which two continuations are equally likely

AnswerFn = Callable[[Sequence[str]], Sequence[str]]  # a model's answers to questions, each in a new conversation


def score_task(task: str, scorer: ContinuationScorer, answer_fn: AnswerFn | None, max_items: int = 0) -> list[Score]:
    """Score the first `max_items` of a task (0: all); instructions need `answer_fn` and have no score without it."""
    if task == "instructions":
        return [] if answer_fn is None else _score_instructions(answer_fn, max_items)
    build_items, score_items = _TASKS[task]
    items = build_items()[: max_items or None]
    return score_items(items, list(scorer([(item.context, item.continuations) for item in items])))


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
    """Return 1 for each item whose first continuation, the right one, has the lowest cost per unit; split ties."""
    item_credits = []
    for row, size in zip(costs, sizes, strict=True):
        costs_per_unit = np.array([cost.nats for cost in row]) / size
        is_tied = costs_per_unit <= costs_per_unit.min() + _TIE_TOLERANCE
        item_credits.append(float(is_tied[0] / is_tied.sum()))
    return tuple(item_credits)
