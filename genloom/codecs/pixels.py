"""Pictures as their pixels: three channels from -1 to 1, brought to a square of one size."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genloom.codecs.settings import damaged, read_json
from genloom.types import Signal

LARGEST = 1024  # pixels a side
FITS = ("pad", "crop")


@dataclass(frozen=True)
class Config:
    size: int = 64  # pixels a side
    fit: str = "pad"  # what makes a square of an oblong picture: bars of white, or a cut from its centre ("crop")

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 4 <= self.size <= LARGEST:
            raise ValueError(f"codec.size must be a whole number from 4 to {LARGEST}, got {self.size!r}.")
        if self.fit not in FITS:
            raise ValueError(f"codec.fit must be pad or crop, got {self.fit!r}.")


@dataclass(frozen=True)
class Codec:
    """Pictures uint8 (H, W, 3) as float32 (3, size, size), and back as squares."""

    config: Config

    @classmethod
    def fit(cls, items: Iterable[np.ndarray], config: Config) -> "Codec":
        """The codec; pixels need no learning, so `items` is not read."""
        return cls(config)

    @property
    def space(self) -> Signal:
        return Signal(3, (self.config.size, self.config.size))

    def encode(self, value: np.ndarray) -> np.ndarray:
        square = squared(value, self.config.size, self.config.fit == "crop")
        return square.transpose(2, 0, 1).astype(np.float32) / np.float32(127.5) - 1

    def encode_many(self, values: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> np.ndarray:
        """The picture of (3, size, size), uint8 (size, size, 3); what lies outside -1 to 1 is clipped."""
        levels = np.rint((np.asarray(x, np.float32) + 1) * np.float32(127.5))
        return np.ascontiguousarray(levels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))

    def decode_many(self, x_BCHW: Iterable[np.ndarray]) -> list[np.ndarray]:
        return [self.decode(x) for x in x_BCHW]

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "codec.json").write_text(json.dumps({"codec": "pixels", **asdict(self.config)}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """The codec as saved; ValueError names the file that is missing or damaged."""
        path = folder / "codec.json"
        content: dict[str, Any] = read_json(path)
        if content.pop("codec", None) != "pixels" or set(content) != {"size", "fit"}:
            raise damaged(path, "it must be for the codec 'pixels' and set fit, size")
        try:
            return cls(Config(**content))
        except ValueError as error:
            raise damaged(path, str(error)) from None


def squared(value: np.ndarray, size: int, crop: bool) -> np.ndarray:
    """The picture as uint8 (size, size, 3); one that is so already is returned as it is."""
    height, width, _ = value.shape
    if height == width == size:
        return value
    scale = size / (min(height, width) if crop else max(height, width))
    shape = max(round(width * scale), 1), max(round(height * scale), 1)
    small = np.asarray(Image.fromarray(value).resize(shape, Image.Resampling.LANCZOS))
    if crop:
        top, left = (small.shape[0] - size) // 2, (small.shape[1] - size) // 2
        return small[top : top + size, left : left + size]
    square = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square
