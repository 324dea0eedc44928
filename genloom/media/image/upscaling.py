"""Enlargement of images by a small convolutional network, computed by NumPy: edges of drawings stay sharp.

The network adds to a bicubic enlargement what it lacks (Kim et al. 2016, "Accurate image super-resolution using very
deep convolutional networks"), in one step from the small grid to the large one (Shi et al. 2016, "Real-time single
image and video super-resolution"). `recipes/icons/upscaler.py` trains it.

Shape letters: H, W rows and columns, C, D channels in and out, F factor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError
from genloom.media.image import decoding

FACTOR = 4
FACTORS = (2, 3, 4)  # that `upscale_picture` offers; those below FACTOR are reduced from it
WEIGHTS_PATH = Path(__file__).with_name("upscaler.npz")
MAX_OUTPUT_PIXELS = 64_000_000
STRIP_ROWS = 64  # of the small image that are computed together

Picture = NDArray[np.uint8]  # H W 3
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Convolution:
    """A convolution of 3 × 3 cells: weights 9 C D, in rows from the top left, and biases D."""

    weight: Array
    bias: Array

    def apply(self, x: Array) -> Array:
        """Return H W D of x, H W C; cells beyond the edge repeat the edge."""
        height, width, _ = x.shape
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
        result = np.broadcast_to(self.bias, (height * width, len(self.bias))).copy()
        for cell, weight_CD in enumerate(self.weight):
            top, left = divmod(cell, 3)
            shifted = padded[top : top + height, left : left + width]
            result += shifted.reshape(height * width, -1) @ weight_CD
        return result.reshape(height, width, -1)


@dataclass(frozen=True)
class Upscaler:
    """The network: a first convolution, residual blocks of two, and a last one to the pixels of F × F cells."""

    convolutions: tuple[Convolution, ...]

    @property
    def margin(self) -> int:
        """The rows and columns around a pixel that its result depends on."""
        return len(self.convolutions)

    def compute_residual(self, x: Array) -> Array:
        """Return what is added to the enlargement of x (H W 3, from -1 to 1): FH FW 3."""
        first, *blocks, last = self.convolutions
        h = first.apply(x)
        for inner, outer in zip(blocks[::2], blocks[1::2], strict=True):
            h = h + outer.apply(np.maximum(inner.apply(h), 0))
        pixels = last.apply(np.maximum(h, 0))
        height, width, _ = pixels.shape
        cells = pixels.reshape(height, width, 3, FACTOR, FACTOR).transpose(0, 3, 1, 4, 2)
        return cells.reshape(FACTOR * height, FACTOR * width, 3)

    def enlarge(self, picture: Picture, report: Callable[[float], object] = lambda share: None) -> Picture:
        """Return the picture FACTOR times as large; memory holds the layers of one strip."""
        height, width, _ = picture.shape
        base = resize_picture(picture, FACTOR * width, FACTOR * height, "BICUBIC")
        x = picture.astype(np.float32) / np.float32(127.5) - 1
        result = np.empty_like(base)
        for top in range(0, height, STRIP_ROWS):
            bottom = min(top + STRIP_ROWS, height)
            start, end = max(top - self.margin, 0), min(bottom + self.margin, height)
            residual = self.compute_residual(x[start:end])[FACTOR * (top - start) :][: FACTOR * (bottom - top)]
            rows = slice(FACTOR * top, FACTOR * bottom)
            result[rows] = np.rint(base[rows] + np.float32(127.5) * residual).clip(0, 255)
            report(bottom / height)
        return result


@lru_cache(1)
def load_upscaler(path: Path = WEIGHTS_PATH) -> Upscaler:
    """Return the network of the file: arrays weight0, bias0, weight1 and so on."""
    with np.load(path, allow_pickle=False) as arrays:
        count = len(arrays.files) // 2
        layers = [
            (arrays[f"weight{n}"].astype(np.float32), arrays[f"bias{n}"].astype(np.float32)) for n in range(count)
        ]
    return Upscaler(tuple(Convolution(weight, bias) for weight, bias in layers))


def upscale_picture(picture: Picture, factor: int, report: Callable[[float], object] = lambda share: None) -> Picture:
    """Return the picture `factor` times as large, 2, 3 or 4; GenloomError for one whose result is too large."""
    if factor not in FACTORS:
        raise GenloomError("media.bad_factor", value=factor, known=", ".join(map(str, FACTORS)))
    height, width, _ = picture.shape
    if factor**2 * height * width > MAX_OUTPUT_PIXELS:
        size = f"{factor * width:,} × {factor * height:,}"
        raise GenloomError("media.enlarged_too_large", size=size, limit=MAX_OUTPUT_PIXELS // 1_000_000)
    enlarged = load_upscaler().enlarge(picture, report)
    return enlarged if factor == FACTOR else resize_picture(enlarged, factor * width, factor * height, "BOX")


def resize_longer_side(picture: Picture, side: int) -> Picture:
    """Return the picture with a longer side of `side` pixels; a larger one is enlarged by the network."""
    height, width, _ = picture.shape
    scale = side / max(height, width)
    target = max(round(width * scale), 1), max(round(height * scale), 1)
    while max(picture.shape[:2]) < side:
        picture = load_upscaler().enlarge(picture)
    return picture if (target[1], target[0]) == picture.shape[:2] else resize_picture(picture, *target, "BOX")


def resize_picture(picture: Picture, width: int, height: int, filter: str) -> Picture:
    """Return the picture resized by a filter of Pillow."""
    from PIL import Image

    return np.array(decoding.to_pil_image(picture).resize((width, height), Image.Resampling[filter]))
