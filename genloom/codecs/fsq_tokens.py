"""Media as the codes of an autoencoder whose latent is rounded (FSQ): a fixed number of symbols that fill a grid."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom.codecs.autoencoder import Autoencoder
from genloom.codecs.codec_json import damaged_error
from genloom.fsq import check_levels, codes_to_indices, indices_to_codes, quantize
from genloom.types import TokenSpace


@dataclass(frozen=True)
class Config:
    model: str = "icons-codes"  # the trained autoencoder with objective.levels; the codec takes it into itself


def default_config(size: int) -> dict[str, Any]:
    """The settings to begin with for so many bytes of data."""
    return {"model": Config().model}


def from_model(model: Any, values: Iterable[Any], config: Config) -> "Codec":
    """The codec of a trained model; ValueError where the model rounds nothing."""
    levels = tuple(getattr(model.objective, "levels", ()))
    if not levels:
        raise ValueError(
            f"The latent of {model.name!r} is not rounded to codes. Train one that is: "
            "--set objective.name=vae_gan --set objective.levels='[8, 8, 8, 8]' --set objective.grid='[16, 16]'"
        )
    return Codec(Autoencoder.from_model(model), levels)


@dataclass(frozen=True)
class Codec:
    """The places of the grid row by row, a code each; `levels` are the steps of each channel."""

    autoencoder: Autoencoder
    levels: tuple[int, ...]

    @property
    def space(self) -> TokenSpace:
        """The codes, and one symbol more that begins a sample."""
        codes, grid = prod(self.levels), self.autoencoder.spec.grid
        return TokenSpace(codes + 1, prod(grid) + 1, bos=codes, eos=codes, grid=grid)

    def encode(self, value: Any) -> np.ndarray:
        """The codes (L,), without the start."""
        points = quantize(self.autoencoder.encode(value), self.levels)
        return codes_to_indices(points, self.levels).flatten().numpy().astype(np.uint16)

    def encode_many(self, values: Iterable[Any]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Any:
        """What the codes stand for; a symbol that is no code is read as the last one."""
        codes = np.minimum(np.asarray(x, np.int64), prod(self.levels) - 1).reshape(1, *self.autoencoder.spec.grid)
        return self.autoencoder.decode(indices_to_codes(torch.from_numpy(codes), self.levels))

    def decode_many(self, x_BL: Iterable[Sequence[int] | np.ndarray]) -> list[Any]:
        return [self.decode(x) for x in x_BL]

    def save(self, folder: Path) -> None:
        self.autoencoder.save(folder, "fsq_tokens", {"levels": self.levels})

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """The codec as saved; ValueError names the file that is missing or damaged."""
        autoencoder, extras = Autoencoder.load(folder, "fsq_tokens", ("levels",))
        levels, path = extras["levels"], folder / "codec.json"
        if not (isinstance(levels, list) and all(type(n) is int for n in levels)):
            raise damaged_error(path, "levels must be whole numbers")
        try:
            check_levels(levels)
        except ValueError as error:
            raise damaged_error(path, str(error)) from None
        if len(levels) != autoencoder.spec.latent or autoencoder.spec.has_log_variance or not autoencoder.spec.grid:
            raise damaged_error(path, "there must be a channel for each of the levels, and a grid")
        return cls(autoencoder, tuple(levels))
