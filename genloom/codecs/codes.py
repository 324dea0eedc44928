"""Media as the codes of an autoencoder whose latent is rounded (FSQ): a fixed number of symbols that fill a grid."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom.codecs.autoencoder import Autoencoder
from genloom.codecs.settings import damaged
from genloom.rounding import check_levels, codes_of, points_of, rounded
from genloom.types import Tokens


@dataclass(frozen=True)
class Config:
    model: str = "icons-codes"  # the trained autoencoder with objective.levels; the codec takes it into itself


def suited(size: int) -> dict[str, Any]:
    """The settings to begin with for so many bytes of data."""
    return {"model": Config().model}


def of_model(model: Any, values: Iterable[Any], config: Config) -> "Codec":
    """The codec of a trained model; ValueError where the model rounds nothing."""
    levels = tuple(getattr(model.objective, "levels", ()))
    if not levels:
        raise ValueError(
            f"The latent of {model.name!r} is not rounded to codes. Train one that is: "
            "--set objective.name=mixture --set objective.levels='[8, 8, 8, 8]' --set objective.grid='[16, 16]'"
        )
    return Codec(Autoencoder.of_model(model), levels)


@dataclass(frozen=True)
class Codec:
    """The places of the grid row by row, a code each; `levels` are the steps of each channel."""

    autoencoder: Autoencoder
    levels: tuple[int, ...]

    @property
    def space(self) -> Tokens:
        """The codes, and one symbol more that begins a sample."""
        codes, grid = prod(self.levels), self.autoencoder.shape.grid
        return Tokens(codes + 1, prod(grid) + 1, start=codes, stop=codes, grid=grid)

    def encode(self, value: Any) -> np.ndarray:
        """The codes (L,), without the start."""
        points = rounded(self.autoencoder.encode(value), self.levels)
        return codes_of(points, self.levels).flatten().numpy().astype(np.uint16)

    def encode_many(self, values: Iterable[Any]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Any:
        """What the codes stand for; a symbol that is no code is read as the last one."""
        codes = np.minimum(np.asarray(x, np.int64), prod(self.levels) - 1).reshape(1, *self.autoencoder.shape.grid)
        return self.autoencoder.decode(points_of(torch.from_numpy(codes), self.levels))

    def decode_many(self, x_BL: Iterable[Sequence[int] | np.ndarray]) -> list[Any]:
        return [self.decode(x) for x in x_BL]

    def save(self, folder: Path) -> None:
        self.autoencoder.save(folder, "codes", {"levels": self.levels})

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """The codec as saved; ValueError names the file that is missing or damaged."""
        autoencoder, found = Autoencoder.load(folder, "codes", ("levels",))
        levels, path = found["levels"], folder / "codec.json"
        if not (isinstance(levels, list) and all(type(n) is int for n in levels)):
            raise damaged(path, "levels must be whole numbers")
        try:
            check_levels(levels)
        except ValueError as error:
            raise damaged(path, str(error)) from None
        if len(levels) != autoencoder.shape.latent or autoencoder.shape.spread or not autoencoder.shape.grid:
            raise damaged(path, "there must be a channel for each of the levels, and a grid")
        return cls(autoencoder, tuple(levels))
