"""Images as pixels: three channels from -1 to 1, resized to a square."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genloom.codecs.codec_json import damaged_error, read_json, write_config
from genloom.errors import GenloomError, format_message
from genloom.types import SignalSpace

LARGEST = 1024  # pixels per side
FIT_MODES = ("pad", "crop")


@dataclass(frozen=True)
class Config:
    """The size of the square, and how an image that is not square is made square."""

    size: int = 64  # pixels per side
    fit: str = "pad"  # "pad" with white, or "crop" to the centre

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 4 <= self.size <= LARGEST:
            raise GenloomError("codecs.bad_image_size", value=self.size, maximum=LARGEST)
        if self.fit not in FIT_MODES:
            raise GenloomError("codecs.bad_image_fit", value=self.fit)


@dataclass(frozen=True)
class Codec:
    """Images uint8 (H, W, 3) as float32 (3, size, size), and back as squares."""

    config: Config

    @classmethod
    def fit(cls, items: Iterable[np.ndarray], config: Config) -> "Codec":
        """Return the codec; pixels need no training, so `items` is not read."""
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
        """Return the image (size, size, 3), uint8, of (3, size, size); values outside of -1 to 1 are clipped."""
        levels = np.rint((np.asarray(x, np.float32) + 1) * np.float32(127.5))
        return np.ascontiguousarray(levels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))

    def decode_many(self, x_BCHW: Iterable[np.ndarray]) -> list[np.ndarray]:
        return [self.decode(x) for x in x_BCHW]

    def save(self, folder: Path) -> None:
        write_config(folder, "pixels", self.config)

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; ValueError names the file that is missing or damaged."""
        path = folder / "codec.json"
        content: dict[str, Any] = read_json(path)
        if content.pop("codec", None) != "pixels" or set(content) != {"size", "fit"}:
            raise damaged_error(
                path, format_message("codecs.wrong_codec_table", codec="pixels", keys="codec, fit, size")
            )
        try:
            return cls(Config(**content))
        except ValueError as error:
            raise damaged_error(path, str(error)) from None


def resize_to_square(value: np.ndarray, size: int, should_crop: bool) -> np.ndarray:
    """Return the image as uint8 (size, size, 3); return it unchanged if it already has this size."""
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
