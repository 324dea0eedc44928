"""Values as the latent of an autoencoder that was trained here: the codec of latent diffusion."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom.capabilities import get_levels
from genloom.codecs.autoencoder import LARGEST_SETTING, Autoencoder
from genloom.codecs.codec_json import damaged_error
from genloom.errors import GenloomError, format_message
from genloom.types import SignalSpace

NUM_STAT_SAMPLES, STAT_STRIDE = 1024, 5  # training samples for the statistics, every fifth
MIN_STD = 1e-4  # lower bound of a channel's standard deviation, for channels without information


@dataclass(frozen=True)
class Config:
    """A trained autoencoder, or a model that has one as its codec; the codec stores a copy of it."""

    model: str = "icons"
    length: int = 0  # positions on the first axis, where the networks read other lengths; 0: as the model was trained

    def __post_init__(self) -> None:
        if not (type(self.length) is int and 0 <= self.length <= LARGEST_SETTING):
            raise GenloomError("codecs.bad_latent_length", value=self.length, maximum=LARGEST_SETTING)


def default_config(size: int) -> dict[str, Any]:
    """Return default settings for `size` bytes of data."""
    return {"model": Config().model}


def from_model(model: Any, values: Iterable[Any], config: Config) -> "Codec":
    """Return the codec of a trained model, with each channel normalized to mean 0 and deviation 1 over the values.

    Raise ValueError if the model neither is nor has an autoencoder.
    """
    codec = model.codec
    if not isinstance(codec, Codec) and get_levels(model.objective):
        raise GenloomError("codecs.latent_is_discrete", model=model.name)
    autoencoder = codec.autoencoder if isinstance(codec, Codec) else Autoencoder.from_model(model)
    autoencoder = autoencoder.with_length(config.length) if config.length else autoencoder
    latents = [autoencoder.encode(value) for value in islice(values, 0, STAT_STRIDE * NUM_STAT_SAMPLES, STAT_STRIDE)]
    if not latents:
        raise GenloomError("codecs.no_samples")
    z_CN = torch.cat([z[0].flatten(1) for z in latents], 1).double()
    std = z_CN.std(1, correction=0).clamp(min=MIN_STD)
    return Codec(autoencoder, tuple(z_CN.mean(1).tolist()), tuple(std.tolist()))


@dataclass(frozen=True)
class Codec:
    """The latent of a value, in units of each channel's standard deviation."""

    autoencoder: Autoencoder
    mean: tuple[float, ...]  # by channel
    std: tuple[float, ...]

    @property
    def space(self) -> SignalSpace:
        return SignalSpace(self.autoencoder.spec.latent, self.autoencoder.spec.grid, self.autoencoder.has_lengths)

    def encode(self, value: Any) -> np.ndarray:
        """Return the latent, float32 (C, *grid)."""
        z = self.autoencoder.encode(value)[0].numpy()
        return ((z - self._per_channel(self.mean)) / self._per_channel(self.std)).astype("f4")

    def encode_many(self, values: Iterable[Any]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Any:
        z = np.asarray(x, np.float32) * self._per_channel(self.std) + self._per_channel(self.mean)
        return self.autoencoder.decode(torch.from_numpy(z)[None])

    def decode_many(self, x_BC: Iterable[np.ndarray]) -> list[Any]:
        return [self.decode(x) for x in x_BC]

    def _per_channel(self, values: tuple[float, ...]) -> np.ndarray:
        return np.asarray(values, np.float32).reshape(-1, *[1] * len(self.autoencoder.spec.grid))

    def save(self, folder: Path) -> None:
        self.autoencoder.save(folder, "latent", {"mean": self.mean, "std": self.std})

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; ValueError names the file that is missing or damaged."""
        autoencoder, extras = Autoencoder.load(folder, "latent", ("mean", "std"))
        mean, std = extras["mean"], extras["std"]
        for values, lower in ((mean, float("-inf")), (std, 0.0)):
            is_valid = isinstance(values, list) and len(values) == autoencoder.spec.latent
            if not is_valid or not all(isinstance(v, float) and isfinite(v) and v > lower for v in values):
                raise damaged_error(folder / "codec.json", format_message("codecs.bad_statistics"))
        return cls(autoencoder, tuple(mean), tuple(std))
