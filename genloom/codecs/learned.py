"""Media as the latent of an autoencoder trained here: the codec of latent diffusion."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom.codecs.autoencoder import Autoencoder
from genloom.codecs.settings import damaged
from genloom.types import Signal

MEASURED, EVERY = 1024, 5  # training samples that the statistics come from, and which
SMALLEST = 1e-4  # standard deviation of a channel that tells nothing


@dataclass(frozen=True)
class Config:
    model: str = "icons"  # a trained autoencoder, or a model that has one as its codec; this codec takes it into itself


def suited(size: int) -> dict[str, Any]:
    """The settings to begin with for so many bytes of data."""
    return {"model": Config().model}


def of_model(model: Any, values: Iterable[Any], config: Config) -> "Codec":
    """The codec of a trained model, with each channel brought to mean 0 and standard deviation 1 over the values.

    Raises ValueError where the model is no autoencoder and has none.
    """
    own = model.codec
    if not isinstance(own, Codec) and getattr(model.objective, "levels", ()):
        raise ValueError(f"The latent of {model.name!r} is rounded to codes. Use it as such: --set codec.name=codes")
    autoencoder = own.autoencoder if isinstance(own, Codec) else Autoencoder.of_model(model)
    latents = [autoencoder.encode(value) for value in islice(values, 0, EVERY * MEASURED, EVERY)]
    if not latents:
        raise ValueError("There are no samples to measure the latent on. Collect some, then train.")
    z_CN = torch.cat(latents).transpose(0, 1).flatten(1).double()
    spread = z_CN.std(1, correction=0).clamp(min=SMALLEST)
    return Codec(autoencoder, tuple(z_CN.mean(1).tolist()), tuple(spread.tolist()))


@dataclass(frozen=True)
class Codec:
    """What the encoder makes of a value, in units of each channel's spread, and what the decoder makes of that."""

    autoencoder: Autoencoder
    mean: tuple[float, ...]  # by channel
    spread: tuple[float, ...]

    @property
    def space(self) -> Signal:
        return Signal(self.autoencoder.shape.latent, self.autoencoder.shape.grid)

    def encode(self, value: Any) -> np.ndarray:
        """The latent, float32 (C, *grid)."""
        return ((self.autoencoder.encode(value)[0].numpy() - self._by(self.mean)) / self._by(self.spread)).astype("f4")

    def encode_many(self, values: Iterable[Any]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Any:
        z = np.asarray(x, np.float32) * self._by(self.spread) + self._by(self.mean)
        return self.autoencoder.decode(torch.from_numpy(z)[None])

    def decode_many(self, x_BC: Iterable[np.ndarray]) -> list[Any]:
        return [self.decode(x) for x in x_BC]

    def _by(self, channels: tuple[float, ...]) -> np.ndarray:
        return np.asarray(channels, np.float32).reshape(-1, *[1] * len(self.autoencoder.shape.grid))

    def save(self, folder: Path) -> None:
        self.autoencoder.save(folder, "learned", {"mean": self.mean, "std": self.spread})

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """The codec as saved; ValueError names the file that is missing or damaged."""
        autoencoder, found = Autoencoder.load(folder, "learned", ("mean", "std"))
        mean, spread = found["mean"], found["std"]
        for values, least in ((mean, float("-inf")), (spread, 0.0)):
            fits = isinstance(values, list) and len(values) == autoencoder.shape.latent
            if not fits or not all(isinstance(v, float) and isfinite(v) and v > least for v in values):
                raise damaged(folder / "codec.json", "mean and std must hold a number a channel, std above 0")
        return cls(autoencoder, tuple(mean), tuple(spread))
