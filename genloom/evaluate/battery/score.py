"""The battery's tasks scored: shares of right answers with Wilson's interval, and two models paired item by item."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from genloom.evaluate.battery.instructions import instructions
from genloom.evaluate.battery.items import Item, arithmetic, choice, cloze
from genloom.evaluate.battery.reader import Continued, Reader
from genloom.evaluate.likelihood import Estimate, ratio

_ALIKE = 1e-6  # nats within which two continuations are equally likely

Answer = Callable[[Sequence[str]], Sequence[str]]  # what a model answers to each question, in a conversation of its own


@dataclass(frozen=True)
class Score:
    """How much of a task was right under one measure."""

    task: str
    measure: str
    credits: tuple[float, ...]  # one an item: 1 right, 0 wrong, a share where several were equally likely
    chance: float  # what guessing reaches
    bound: float = 1.0  # what could be reached: below 1 where whoever judges errs

    @property
    def name(self) -> str:
        return f"{self.task}: {self.measure}"

    @property
    def accuracy(self) -> Estimate:
        return wilson(sum(self.credits), len(self.credits))

    def report(self) -> dict[str, Any]:
        """The score as JSON values."""
        got = self.accuracy
        facts = {"accuracy": got.mean, "low": got.low, "high": got.high, "items": got.count, "chance": self.chance}
        facts |= {"bound": self.bound}
        return {"task": self.task, "measure": self.measure, **facts, "credits": list(self.credits)}


def wilson(right: float, count: int) -> Estimate:
    """The share `right` of `count` with Wilson's 95 % interval (1927), which holds near 0 and 1 too."""
    z, share = NormalDist().inv_cdf(0.975), right / count
    middle, spread = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    scale = 1 + z * z / count
    return Estimate(share, max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0), count)


def scores(task: str, reader: Reader, answer: Answer | None, most: int = 0) -> list[Score]:
    """A task's scores, on its first `most` items (0: all). Instructions need `answer`, and have no score without."""
    if task == "instructions":
        return [] if answer is None else _instructions(answer, most)
    made, measured = _TASKS[task]
    items = made()[: most or None]
    return measured(items, list(reader([(item.context, item.continuations) for item in items])))


def _cloze(items: list[Item], costs: list[list[Continued]]) -> list[Score]:
    return [
        Score("cloze", "of four words", _credits(costs, [[1] * len(cost) for cost in costs]), 0.25),
        Score("cloze", "first guess", tuple(float(cost[0].guessed) for cost in costs), 0.0),
    ]


def _choice(items: list[Item], costs: list[list[Continued]]) -> list[Score]:
    sizes = [[len(text.encode()) for text in item.continuations] for item in items]
    return [
        Score("choice", "likelihood per byte", _credits(costs, sizes), 0.25),
        Score("choice", "likelihood", _credits(costs, [[1] * len(cost) for cost in costs]), 0.25),
    ]


def _arithmetic(items: list[Item], costs: list[list[Continued]]) -> list[Score]:
    right = [float(cost[0].guessed) for cost in costs]
    kinds = dict.fromkeys(item.kind for item in items)
    parts = {kind: [r for r, item in zip(right, items, strict=True) if item.kind == kind] for kind in kinds}
    return [Score("arithmetic", kind, tuple(part), 0.0) for kind, part in {"exact": right, **parts}.items()]


def _instructions(answer: Answer, most: int) -> list[Score]:
    asked = instructions()[: most or None]
    given = answer([instruction.prompt for instruction in asked])
    kept = tuple(float(i.kept(text)) for i, text in zip(asked, given, strict=True))
    return [Score("instructions", "followed", kept, 0.0)]


_TASKS: Mapping[str, tuple[Callable[[], list[Item]], Callable[[list[Item], list[list[Continued]]], list[Score]]]] = {
    "cloze": (cloze, _cloze),
    "choice": (choice, _choice),
    "arithmetic": (arithmetic, _arithmetic),
}
TASKS = (*_TASKS, "instructions")


def _credits(costs: list[list[Continued]], sizes: list[list[int]]) -> tuple[float, ...]:
    """1 where the right continuation, the first, costs least for its size; a share where others cost the same."""
    found = []
    for row, size in zip(costs, sizes, strict=True):
        each = np.array([cost.nats for cost in row]) / size
        alike = each <= each.min() + _ALIKE
        found.append(float(alike[0] / alike.sum()))
    return tuple(found)


@dataclass(frozen=True)
class Gap:
    """What the second model gets right more than the first on the same items; below zero: less."""

    first: Score
    second: Score
    difference: Estimate

    @property
    def verdict(self) -> str:
        if not self.difference.excludes(0.0):
            return "no difference shown"
        return "better" if self.difference.mean > 0 else "worse"


def gaps(first: Sequence[Score], second: Sequence[Score]) -> list[Gap]:
    """Two models' scores paired, with bootstrap intervals over the items that both were asked."""
    theirs = {score.name: score for score in second}
    found = []
    for score in first:
        other = theirs.get(score.name)
        if other is None:  # one of the two cannot chat
            continue
        gained = np.array(other.credits) - np.array(score.credits)
        found.append(Gap(score, other, ratio(gained, np.ones(len(gained)))))
    return found
