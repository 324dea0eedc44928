"""Benchmark batteries: a medium names its tasks, the models that they fit, and scores a model in them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genloom.errors import GenloomError
from genloom.evaluate.progress import Progress
from genloom.evaluate.scores import Score
from genloom.evaluate.training_sources import TrainingSources
from genloom.model import Model


@dataclass(frozen=True)
class BatteryContext:
    """A model, the tasks to score it in, and its training data as far as they are here."""

    model: Model
    tasks: tuple[str, ...]
    sources: TrainingSources
    progress: Progress
    max_items: int = 0  # per task; 0: all
    seed: int = 0


@dataclass(frozen=True)
class BatteryResult:
    """The scores of a model, and what qualifies them."""

    scores: Sequence[Score]
    notes: Sequence[str] = ()  # for people
    details: Mapping[str, Any] = field(default_factory=dict)  # as JSON values
    files: Mapping[str, bytes] = field(default_factory=dict)  # charts and sheets by name


@dataclass(frozen=True)
class Battery:
    """The battery of a medium. `run` raises ValueError for a model that cannot take it."""

    tasks: tuple[str, ...]
    fits: str  # the models whose scores mean something, for people
    run: Callable[[BatteryContext], BatteryResult]


def select_tasks(battery: Battery, tasks: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks, all of the battery if none are given; raise for an unknown one."""
    if unknown_tasks := [task for task in tasks if task not in battery.tasks]:
        known = ", ".join(battery.tasks)
        raise GenloomError("evaluate.unknown_task", unknown=", ".join(map(repr, unknown_tasks)), known=known)
    return tuple(tasks) or battery.tasks
