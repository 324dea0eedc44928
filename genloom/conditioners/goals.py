"""The goals of a design as a field on its grid: supports, loads, passive regions, volume, physics of a quick draft.

A row without goals is zero throughout, which has no effect on a network.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from genloom.errors import GenloomError
from genloom.media import design
from genloom.media.design.document import parse_document
from genloom.media.design.goals import DesignGoals
from genloom.media.design.mechanics.fields import build_fields, count_channels, turn_fields
from genloom.media.design.mechanics.resampling import resample_problem
from genloom.media.design.problems import build_goals, build_problem
from genloom.media.design.structure import build_empty
from genloom.types import Condition, ConditionSpec, Item

NUM_FITTED_ITEMS = 1000  # whose grids are compared


@dataclass(frozen=True)
class Config:
    size: tuple[int, ...] = ()  # of the grid of the training data


def fit(items: Iterable[Item], config: Config) -> Config:
    """Return the configuration with the grid of the training data. Raise GenloomError if there are several or none."""
    if config.size:
        return config
    shapes = dict.fromkeys(
        item.value.goals.domain.shape for item in islice(items, NUM_FITTED_ITEMS) if item.value.goals
    )
    if len(shapes) != 1:
        raise GenloomError("conditioners.goal_grids", count=len(shapes))
    return replace(config, size=next(iter(shapes)))


def build(config: Config) -> "GoalsConditioner":
    if not config.size:
        raise GenloomError("conditioners.not_fitted", column="goals")
    return GoalsConditioner(config)


@dataclass(frozen=True)
class GoalsConditioner:
    """Values are DesignGoals."""

    config: Config

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(field=count_channels(len(self.config.size)))

    def get_value(self, item: Item) -> DesignGoals | None:
        return getattr(item.value, "goals", None)

    def encode(self, values: Sequence[DesignGoals | None]) -> Condition:
        """Return the fields; goals that are given share one grid, which may be another than that of the training."""
        by_goals = {goals: build_fields(build_problem(goals)) for goals in dict.fromkeys(values) if goals is not None}
        fields = [None if goals is None else by_goals[goals] for goals in values]
        shapes = {field.shape[1:] for field in by_goals.values()} or {self.config.size}
        shape = next(iter(shapes))
        if len(shapes) > 1 or len(shape) != len(self.config.size):
            raise GenloomError("conditioners.goal_grids", count=len(shapes))
        empty = np.zeros((self.spec.field, *shape), np.float32)
        return Condition(field=torch.from_numpy(np.stack([empty if field is None else field for field in fields])))

    def resample_value(self, value: DesignGoals, size: Sequence[int] = ()) -> DesignGoals:
        size = tuple(size) or self.config.size
        if value.domain.shape == size or value.domain.axes != len(size):
            return value
        return build_goals(resample_problem(build_problem(value), size))

    def turn_fields(self, fields: np.ndarray, turn: int) -> np.ndarray:
        return turn_fields(fields, turn)

    def parse(self, text: str) -> DesignGoals:
        """Open a document of goals, with a design or without."""
        try:
            goals, _ = parse_document(design.read_text(Path(text)))
        except ValueError as error:
            raise GenloomError("conditioners.unreadable_item", path=text, reason=error) from None
        if goals is None:
            raise GenloomError("conditioners.no_goals", path=text)
        return goals

    def format(self, value: DesignGoals) -> str:
        return f"goals {hashlib.sha256(design.encode(build_empty(value))).hexdigest()[:16]}"

    def pack(self, value: DesignGoals, save_blob: Callable[[bytes, str], str]) -> str:
        return save_blob(design.encode(build_empty(value)), design.suffixes[0])

    def unpack(self, stored: str, load_blob: Callable[[str], bytes]) -> DesignGoals:
        goals = design.decode(load_blob(stored)).goals
        if goals is None:
            raise GenloomError("conditioners.no_goals", path=stored)
        return goals
