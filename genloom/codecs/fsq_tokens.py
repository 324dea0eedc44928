"""Values as the discrete codes of an autoencoder with a quantized latent (FSQ): one token per position of a grid."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom.capabilities import get_levels
from genloom.codecs.autoencoder import Autoencoder
from genloom.codecs.codec_json import damaged_error
from genloom.errors import GenloomError, format_message
from genloom.fsq import check_levels, codes_to_indices, indices_to_codes, quantize
from genloom.types import TokenSpace


@dataclass(frozen=True)
class Config:
    """The trained autoencoder with objective.levels; the codec stores a copy of it."""

    model: str = "icons-codes"


def default_config(size: int) -> dict[str, Any]:
    """Return default settings for `size` bytes of data."""
    return {"model": Config().model}


def from_model(model: Any, values: Iterable[Any], config: Config) -> "Codec":
    """Return the codec of a trained model; raise ValueError if its latent is not quantized."""
    levels = get_levels(model.objective)
    if not levels:
        raise GenloomError("codecs.latent_not_discrete", model=model.name)
    return Codec(Autoencoder.from_model(model), levels)


@dataclass(frozen=True)
class Codec:
    """The positions of the grid row by row, one code each; `levels` are the numbers of steps per channel.

    Values of free length on one axis, such as sounds, are sequences of any length.
    """

    autoencoder: Autoencoder
    levels: tuple[int, ...]

    @property
    def space(self) -> TokenSpace:
        """The codes, and one more token that begins a sample."""
        num_codes, grid = prod(self.levels), self.autoencoder.spec.grid
        is_open = self.autoencoder.has_lengths and len(grid) == 1
        return TokenSpace(num_codes + 1, prod(grid) + 1, bos=num_codes, eos=num_codes, grid=() if is_open else grid)

    def encode(self, value: Any) -> np.ndarray:
        """Return the codes (L,), without BOS."""
        codes = quantize(self.autoencoder.encode(value), self.levels)
        return codes_to_indices(codes, self.levels).flatten().numpy().astype(np.uint16)

    def encode_many(self, values: Iterable[Any]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Any:
        """Return the value of the codes, in one row or on a grid of any size; others count as the last code.

        No codes give the shortest value, that of one.
        """
        indices, grid = np.minimum(np.asarray(x, np.int64), prod(self.levels) - 1), self.autoencoder.spec.grid
        indices = indices if indices.size else np.zeros([1] * len(grid), np.int64)
        indices = indices.reshape(1, *(indices.shape if indices.ndim == len(grid) else grid))
        return self.autoencoder.decode(indices_to_codes(torch.from_numpy(indices), self.levels))

    def decode_many(self, x_BL: Iterable[Sequence[int] | np.ndarray]) -> list[Any]:
        return [self.decode(x) for x in x_BL]

    def save(self, folder: Path) -> None:
        self.autoencoder.save(folder, "fsq_tokens", {"levels": self.levels})

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; ValueError names the file that is missing or damaged."""
        autoencoder, extras = Autoencoder.load(folder, "fsq_tokens", ("levels",))
        levels, path = extras["levels"], folder / "codec.json"
        if not (isinstance(levels, list) and all(type(n) is int for n in levels)):
            raise damaged_error(path, format_message("codecs.bad_level_types"))
        try:
            check_levels(levels)
        except ValueError as error:
            raise damaged_error(path, str(error)) from None
        if len(levels) != autoencoder.spec.latent or autoencoder.spec.has_log_variance or not autoencoder.spec.grid:
            raise damaged_error(path, format_message("codecs.levels_mismatch"))
        return cls(autoencoder, tuple(levels))
