"""A column of the data set as a condition: a number, several numbers, or a class.

Numbers are standardised and followed by a flag that they are given; a class is one-hot. A row without the value is
zero throughout, which has no effect on a network.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from genloom.errors import GenloomError, find_nearest
from genloom.types import Condition, ConditionSpec, Item

MAX_CLASSES = 1000


@dataclass(frozen=True)
class Config:
    column: str = ""  # of the data set; "": the name of the condition
    mean: tuple[float, ...] = ()  # of each number in the training data
    std: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()  # (): the values are numbers

    def __post_init__(self) -> None:
        is_valid = all(map(math.isfinite, self.mean)) and all(0 < std < math.inf for std in self.std)
        if len(self.mean) != len(self.std) or not is_valid:
            raise GenloomError("conditioners.bad_statistics", column=self.column, mean=self.mean, std=self.std)


def fit(items: Iterable[Item], config: Config) -> Config:
    """Return the configuration with the classes of the training data, or the mean and deviation of its numbers."""
    if config.mean or config.classes:
        return config
    moments, classes, known_columns = _Moments(), set(), set()
    for item in items:
        known_columns |= item.meta.keys()
        value = item.meta.get(config.column)
        if isinstance(value, str | bool):
            classes.add(_to_class(value))
        elif (numbers := to_numbers(value)) is not None:
            moments.add(numbers, config.column)
        if classes and moments.count:
            raise GenloomError("conditioners.mixed_column", column=config.column)
        if len(classes) > MAX_CLASSES:
            raise GenloomError("conditioners.too_many_classes", column=config.column, limit=MAX_CLASSES)
    if classes:
        return replace(config, classes=tuple(sorted(classes)))
    if not moments.count:
        known = ", ".join(sorted(known_columns))
        raise GenloomError("conditioners.no_values", column=config.column, known=known)
    std = np.sqrt(moments.squares / moments.count)
    std = np.where(std > 1e-12 * np.maximum(np.abs(moments.mean), 1e-300), std, 1.0)  # of a constant: 1
    return replace(config, mean=tuple(moments.mean.tolist()), std=tuple(std.tolist()))


class _Moments:
    """Mean and sum of squared differences of vectors, in one pass (Welford 1962)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(0), np.zeros(0)

    def add(self, numbers: np.ndarray, column: str) -> None:
        if not self.count:
            self.mean, self.squares = np.zeros(len(numbers)), np.zeros(len(numbers))
        if len(numbers) != len(self.mean):
            raise GenloomError("conditioners.ragged_column", column=column, first=len(self.mean), other=len(numbers))
        self.count += 1
        difference = numbers - self.mean
        self.mean = self.mean + difference / self.count
        self.squares = self.squares + difference * (numbers - self.mean)


def to_numbers(value: Any) -> np.ndarray | None:
    """Return a number or a vector of numbers as float64; None if it is missing or not finite."""
    if value is None or isinstance(value, str):
        return None
    numbers = np.atleast_1d(np.asarray(value, np.float64))
    return numbers if numbers.ndim == 1 and len(numbers) and np.isfinite(numbers).all() else None


def _to_class(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()


def build(config: Config) -> "ColumnConditioner":
    if not config.mean and not config.classes:
        raise GenloomError("conditioners.not_fitted", column=config.column)
    return ColumnConditioner(config)


@dataclass(frozen=True)
class ColumnConditioner:
    """Values are numbers (several as a tuple), or classes as text."""

    config: Config

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(vector=len(self.config.classes) or len(self.config.mean) + 1)

    def get_value(self, item: Item) -> Any:
        value = item.meta.get(self.config.column)
        if self.config.classes:
            name = _to_class(value) if isinstance(value, str | bool) else None
            return name if name in self.config.classes else None
        numbers = to_numbers(value)
        return None if numbers is None or len(numbers) != len(self.config.mean) else _to_value(numbers)

    def encode(self, values: Sequence[Any]) -> Condition:
        vector_BD = np.zeros((len(values), self.spec.vector), np.float32)
        for row, value in zip(vector_BD, values, strict=True):
            if value is None:
                continue
            if self.config.classes:
                row[self.config.classes.index(value)] = 1
            else:
                row[:-1] = (np.atleast_1d(value) - np.array(self.config.mean)) / np.array(self.config.std)
                row[-1] = 1
        return Condition(vector=torch.from_numpy(vector_BD))

    reads_files = False  # a text is the value itself

    def parse(self, text: str) -> Any:
        classes, column, size = self.config.classes, self.config.column, len(self.config.mean)
        if classes:
            if text not in classes:
                known = find_nearest(text, classes) or ", ".join(classes[:20])
                raise GenloomError("conditioners.unknown_class", column=column, value=text, known=known)
            return text
        try:
            numbers = to_numbers([float(part) for part in text.split(",")])
        except ValueError:
            numbers = None
        if numbers is None or len(numbers) != size:
            raise GenloomError("conditioners.bad_number", column=column, value=text, count=size)
        return _to_value(numbers)

    def format(self, value: Any) -> str:
        return value if isinstance(value, str) else ",".join(f"{number:.9g}" for number in np.atleast_1d(value))

    def pack(self, value: Any, save_blob: Callable[[bytes, str], str]) -> Any:
        return list(value) if isinstance(value, tuple) else value

    def unpack(self, stored: Any, load_blob: Callable[[str], bytes]) -> Any:
        return tuple(stored) if isinstance(stored, list) else stored


def _to_value(numbers: np.ndarray) -> float | tuple[float, ...]:
    values = tuple(map(float, numbers))
    return values if len(values) > 1 else values[0]
