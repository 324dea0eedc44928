"""Pictures as their pixels: three channels from -1 to 1, brought to a square of one size."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genloom.codecs.codec_json import damaged_error, read_json
from genloom.types import SignalSpace

LARGEST = 1024  # pixels a side
FIT_MODES = ("pad", "crop")


@dataclass(frozen=True)
class Config:
    size: int = 64  # pixels a side
    fit: str = "pad"  # what makes a square of an oblong picture: bars of white, or a cut from its centre ("crop")

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 4 <= self.size <= LARGEST:
            raise ValueError(f"codec.size must be a whole number from 4 to {LARGEST}, got {self.size!r}.")
        if self.fit not in FIT_MODES:
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
    def space(self) -> SignalSpace:
        return SignalSpace(3, (self.config.size, self.config.size))

    def encode(self, value: np.ndarray) -> np.ndarray:
        square = resize_to_square(value, self.config.size, self.config.fit == "crop")
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
            raise damaged_error(path, "it must be for the codec 'pixels' and set fit, size")
        try:
            return cls(Config(**content))
        except ValueError as error:
            raise damaged_error(path, str(error)) from None


def resize_to_square(value: np.ndarray, size: int, should_crop: bool) -> np.ndarray:
    """The picture as uint8 (size, size, 3); one that is so already is returned as it is."""
    height, width, _ = value.shape
    if height == width == size:
        return value
    scale = size / (min(height, width) if should_crop else max(height, width))
    shape = max(round(width * scale), 1), max(round(height * scale), 1)
    resized = np.asarray(Image.fromarray(value).resize(shape, Image.Resampling.LANCZOS))
    if should_crop:
        top, left = (resized.shape[0] - size) // 2, (resized.shape[1] - size) // 2
        return resized[top : top + size, left : left + size]
    square = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - resized.shape[0]) // 2, (size - resized.shape[1]) // 2
    square[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return square
