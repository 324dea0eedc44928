"""Designs as a density on their grid, from -1 (empty) to 1 (solid). Goals are conditions, and not in the signal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genloom.codecs.codec_json import damaged_error, read_json, write_config
from genloom.errors import GenloomError, format_message
from genloom.media.design.mechanics.resampling import choose_drawing_grid, resample_density
from genloom.media.design.mechanics.turning import list_turns, turn_array
from genloom.media.design.structure import Structure
from genloom.types import SignalSpace

LARGEST = 512  # elements on each axis


@dataclass(frozen=True)
class Config:
    """The grid; designs of another one are resampled to it, with their volume."""

    size: tuple[int, ...] = (32, 32)  # elements: y, x or z, y, x

    def __post_init__(self) -> None:
        if len(self.size) not in (2, 3) or not all(type(n) is int and 4 <= n <= LARGEST for n in self.size):
            raise GenloomError("codecs.bad_grid", value=self.size, maximum=LARGEST)


@dataclass(frozen=True)
class Codec:
    """Structures as float32 (1, *size), and back without goals; `decode` takes any size."""

    config: Config

    @classmethod
    def fit(cls, items: Iterable[Structure], config: Config) -> "Codec":
        """Return the codec; densities need no training, so `items` is not read."""
        return cls(config)

    @property
    def space(self) -> SignalSpace:
        return SignalSpace(1, self.config.size)

    @property
    def turns(self) -> tuple[int, ...]:
        """The turns of a plane design, in which it holds as well for goals that are turned along."""
        return list_turns(self.config.size)

    def turn_samples(self, x: np.ndarray, turn: int) -> np.ndarray:
        return turn_array(x, turn)

    def encode(self, value: Structure) -> np.ndarray:
        """Raise GenloomError for a structure with another number of axes."""
        return self._encode_on(value, self.config.size)

    def encode_whole(self, value: Structure) -> np.ndarray:
        """Return the density on the grid that a model draws it on. Raise GenloomError for another number of axes."""
        self._check_axes(value)
        return self._encode_on(value, choose_drawing_grid(value.density.shape, self.config.size))

    def _encode_on(self, value: Structure, grid: Sequence[int]) -> np.ndarray:
        self._check_axes(value)
        return (2 * resample_density(value.density, grid)[None] - 1).astype(np.float32)

    def _check_axes(self, value: Structure) -> None:
        if value.axes != len(self.config.size):
            raise GenloomError("codecs.bad_axes", axes=value.axes, expected=len(self.config.size))

    def encode_many(self, values: Iterable[Structure]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Structure:
        """Return the structure of (1, *size); values outside of -1 to 1 are clipped."""
        return Structure.from_density((np.asarray(x, np.float32)[0] + 1).clip(0, 2) / 2, None)

    def decode_many(self, x_BC: Iterable[np.ndarray]) -> list[Structure]:
        return [self.decode(x) for x in x_BC]

    def save(self, folder: Path) -> None:
        write_config(folder, "density", self.config)

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; GenloomError names the file that is missing or damaged."""
        path = folder / "codec.json"
        content: dict[str, Any] = read_json(path)
        size = content.pop("size", None)
        if content != {"codec": "density"} or not isinstance(size, list):
            raise damaged_error(path, format_message("codecs.wrong_codec_table", codec="density", keys="codec, size"))
        try:
            return cls(Config(tuple(size)))
        except GenloomError as error:
            raise damaged_error(path, str(error)) from None
