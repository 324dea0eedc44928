"""An array on the grid of x as a condition: the loads of a design, the first frame of a video.

Each channel is divided by its root mean square in the training data; a last channel is 1 where the field is given. A
row without a field is zero throughout, which has no effect on a network.
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
    size: tuple[int, ...] = ()  # of the grid
    scale: tuple[float, ...] = ()  # root mean square of each channel in the training data


def fit(items: Iterable[Item], config: Config) -> Config:
    """Return the configuration with the size of the arrays in the training data and the scale of their channels."""
    if config.size:
        return config
    shape: tuple[int, ...] = ()
    squares, count, known_columns = np.zeros(0), 0, set()
    for item in items:
        known_columns |= item.meta.keys()
        if (array := item.meta.get(config.column)) is None:
            continue
        array = to_array(array, config.column)
        shape = shape or array.shape
        if array.shape != shape:
            raise GenloomError("conditioners.field_shapes", column=config.column, first=shape, other=array.shape)
        squares = (squares if count else np.zeros(len(array))) + np.mean(
            array.astype(np.float64) ** 2, axis=tuple(range(1, array.ndim))
        )
        count += 1
    if not count:
        known = ", ".join(sorted(known_columns))
        raise GenloomError("conditioners.no_values", column=config.column, known=known)
    scale = np.sqrt(squares / count)
    return replace(config, size=shape[1:], scale=tuple(np.where(scale > 0, scale, 1.0).tolist()))


def to_array(value: Any, column: str) -> np.ndarray:
    """Return an array C *size of finite numbers. Raise ValueError if the value is none."""
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

    def check(self, array: np.ndarray) -> np.ndarray:
        if array.shape != self.shape:
            raise GenloomError(
                "conditioners.field_shapes", column=self.config.column, first=self.shape, other=array.shape
            )
        return array

    def encode(self, values: Sequence[np.ndarray | None]) -> Condition:
        field = np.zeros((len(values), self.spec.field, *self.config.size), np.float32)
        scale = np.array(self.config.scale, np.float32).reshape(-1, *[1] * len(self.config.size))
        for row, value in zip(field, values, strict=True):
            if value is not None:
                row[:-1], row[-1] = value / scale, 1
        return Condition(field=torch.from_numpy(field))

    def parse(self, text: str) -> np.ndarray:
        """Read a file of NumPy's format .npy."""
        try:
            array = np.load(Path(text), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise GenloomError(
                "conditioners.unreadable_field", column=self.config.column, path=text, reason=error
            ) from None
        return self.check(to_array(array, self.config.column))

    def format(self, value: np.ndarray) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(value, np.float32).tobytes()).hexdigest()
        return f"array {digest[:16]}"

    def pack(self, value: np.ndarray, save_blob: Callable[[bytes, str], str]) -> str:
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(value, np.float32), allow_pickle=False)
        return save_blob(file.getvalue(), ".npy")

    def unpack(self, stored: str, load_blob: Callable[[str], bytes]) -> np.ndarray:
        return self.check(np.load(io.BytesIO(load_blob(stored)), allow_pickle=False))
