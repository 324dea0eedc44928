"""An array on the grid of x as a condition: the loads of a design, the first frame of a video, the chords of notes.

Each channel is divided by its root mean square in the training data; a last channel is 1 where the field is given. A
row without a field is zero throughout, which has no effect on a network. Beside tokens, column i belongs to the i-th
token. If the training data differ on the first axis, a field may have any length, and is padded with zeros.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom.errors import GenloomError
from genloom.types import Condition, ConditionSpec, Item


@dataclass(frozen=True)
class Config:
    column: str = ""  # of the data set; "": the name of the condition
    size: tuple[int, ...] = ()  # of the grid; with `has_lengths`, the largest
    has_lengths: bool = False  # whether the first axis may have any length
    scale: tuple[float, ...] = ()  # root mean square of each channel in the training data


def fit(items: Iterable[Item], config: Config) -> Config:
    """Return the configuration with the size of the arrays in the training data and the scale of their channels."""
    if config.size:
        return config
    shapes: dict[tuple[int, ...], None] = {}
    squares, count, known_columns = np.zeros(0), 0, set()
    for item in items:
        known_columns |= item.meta.keys()
        if (array := item.meta.get(config.column)) is None:
            continue
        array = to_array(array, config.column)
        shapes.setdefault(array.shape)
        first = next(iter(shapes))
        if (len(array), *array.shape[2:]) != (first[0], *first[2:]):
            raise GenloomError("conditioners.field_shapes", column=config.column, first=first, other=array.shape)
        squares = (squares if count else np.zeros(len(array))) + np.mean(
            array.astype(np.float64) ** 2, axis=tuple(range(1, array.ndim))
        )
        count += 1
    if not count:
        known = ", ".join(sorted(known_columns))
        raise GenloomError("conditioners.no_values", column=config.column, known=known)
    scale = np.sqrt(squares / count)
    _, *size = max(shapes)
    scales = tuple(np.where(scale > 0, scale, 1.0).tolist())
    return replace(config, size=tuple(size), scale=scales, has_lengths=len(shapes) > 1)


def to_array(value: Any, column: str) -> np.ndarray:
    """Return an array C *size of finite numbers. Raise ValueError for any other value."""
    array = np.asarray(value)
    if array.ndim < 2 or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise GenloomError("conditioners.bad_field", column=column, shape=array.shape, dtype=array.dtype)
    return array.astype(np.float32)


def build(config: Config) -> "FieldConditioner":
    if not config.size or not config.scale:
        raise GenloomError("conditioners.not_fitted", column=config.column)
    return FieldConditioner(config)


@dataclass(frozen=True)
class FieldConditioner:
    """Values are arrays C *size."""

    config: Config

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.config.scale), *self.config.size)

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(field=len(self.config.scale) + 1)

    def get_value(self, item: Item) -> np.ndarray | None:
        value = item.meta.get(self.config.column)
        return None if value is None else self.check(to_array(value, self.config.column))

    def check(self, array: np.ndarray, is_other_size_allowed: bool = False) -> np.ndarray:
        """Raise ValueError for an array of another shape. A sample of another size than trained has such a field."""
        num_free_axes = len(self.config.size) if is_other_size_allowed else int(self.config.has_lengths)
        expected = (self.shape[0], *array.shape[1 : 1 + num_free_axes], *self.shape[1 + num_free_axes :])
        if array.shape != expected:
            raise GenloomError(
                "conditioners.field_shapes", column=self.config.column, first=self.shape, other=array.shape
            )
        return array

    def encode(self, values: Sequence[np.ndarray | None]) -> Condition:
        sizes = [value.shape[1:] for value in values if value is not None] or [self.config.size]
        length, *sides = map(max, zip(*sizes, strict=True))
        length = max(length, self.config.size[0]) if self.config.has_lengths else length
        field = np.zeros((len(values), self.spec.field, length, *sides), np.float32)
        scale = np.array(self.config.scale, np.float32).reshape(-1, *[1] * len(self.config.size))
        for row, value in zip(field, values, strict=True):
            if value is not None:
                row[:-1, : value.shape[1]], row[-1, : value.shape[1]] = value / scale, 1
        return Condition(field=torch.from_numpy(field))

    def parse(self, text: str) -> np.ndarray:
        """Read a file of NumPy's format .npy."""
        try:
            array = np.load(Path(text), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise GenloomError(
                "conditioners.unreadable_field", column=self.config.column, path=text, reason=error
            ) from None
        return self.check(to_array(array, self.config.column), is_other_size_allowed=True)

    def format(self, value: np.ndarray) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(value, np.float32).tobytes()).hexdigest()
        return f"array {digest[:16]}"

    def pack(self, value: np.ndarray, save_blob: Callable[[bytes, str], str]) -> str:
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(value, np.float32), allow_pickle=False)
        return save_blob(file.getvalue(), ".npy")

    def unpack(self, stored: str, load_blob: Callable[[str], bytes]) -> np.ndarray:
        return self.check(np.load(io.BytesIO(load_blob(stored)), allow_pickle=False), is_other_size_allowed=True)
