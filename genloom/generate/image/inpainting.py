"""The missing part of a picture: a square around it is made anew to fit, and pasted in; all else stays as it was.

Shape letters: H, W rows and columns of a picture, S side of a square.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

CONTEXT_SCALE = 1.5  # how much wider the square is than what is missing, so that the model sees what surrounds it


@dataclass(frozen=True, eq=False)
class InpaintRegion:
    """A picture, uint8 (H, W, 3), and where it is to be made anew, True in `missing` (H, W), by a model of one side."""

    image: np.ndarray
    mask: np.ndarray
    side: int  # of the squares that the model makes

    @cached_property
    def crop(self) -> "Crop":
        return find_crop(self.mask, self.side)

    @cached_property
    def model_input(self) -> np.ndarray:
        """What the model is shown, uint8 (side, side, 3): the surroundings, and a guess where something is missing."""
        return resize_square(prefill(self.crop.extract(self.image, 0), self.crop.extract(self.mask, 1)), self.side)

    def downsample_mask(self, grid_size: tuple[int, int]) -> np.ndarray:
        """Which places of an H × W grid over the square hold something that is missing, bool (H, W)."""
        mask_SS = Image.fromarray(self.crop.extract(self.mask, 1).astype(np.float32))
        return np.asarray(mask_SS.resize((grid_size[1], grid_size[0]), Image.Resampling.BOX)) > 1e-6

    def paste(self, generated: np.ndarray) -> np.ndarray:
        """The whole picture with the missing part taken from what the model made of the square."""
        crop, pasted_image = self.crop, self.image.copy()
        rows, columns = crop.get_slices(*self.mask.shape)
        visible_mask, patch = (
            self.mask[rows, columns],
            resize_square(generated, crop.side)[rows.start - crop.top :, columns.start - crop.left :],
        )
        pasted_image[rows, columns][visible_mask] = patch[: visible_mask.shape[0], : visible_mask.shape[1]][
            visible_mask
        ]
        return pasted_image


@dataclass(frozen=True)
class Crop:
    """A square of a picture; it may reach beyond its edges."""

    top: int
    left: int
    side: int

    def get_slices(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns of the picture that it holds."""
        rows = slice(max(self.top, 0), min(self.top + self.side, height))
        return rows, slice(max(self.left, 0), min(self.left + self.side, width))

    def extract(self, array: np.ndarray, fill_value: int) -> np.ndarray:
        """The square's content, and `beyond` where it reaches beyond the edges."""
        square = np.full((self.side, self.side, *array.shape[2:]), fill_value, array.dtype)
        rows, columns = self.get_slices(*array.shape[:2])
        part = array[rows, columns]
        top, left = rows.start - self.top, columns.start - self.left
        square[top : top + part.shape[0], left : left + part.shape[1]] = part
        return square


def find_crop(mask: np.ndarray, side: int) -> Crop:
    """The square around what is missing: as small as still shows its surroundings, and within the picture if it can."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    extents = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    preferred_size = max(round(CONTEXT_SCALE * max(extents)), side)
    size = max(min(preferred_size, min(height, width)), *extents)
    top = place_interval((rows[0] + rows[-1] + 1) / 2, size, height)
    return Crop(top, place_interval((columns[0] + columns[-1] + 1) / 2, size, width), size)


def place_interval(center: float, size: int, available: int) -> int:
    """Where a stretch with this middle begins: moved to lie within the room, or around it where it is longer."""
    if size >= available:
        return -((size - available) // 2)
    return int(min(max(round(center - size / 2), 0), available - size))


def resize_square(image: np.ndarray, side: int) -> np.ndarray:
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


def prefill(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with what is missing painted over smoothly from its surroundings (pull-push, Gortler et al. 1996)."""
    known_weights = (~mask).astype(np.float32)[..., None]
    colours = pull_push(image * known_weights, known_weights)
    return np.where(mask[..., None], np.rint(colours).clip(0, 255), image).astype(np.uint8)


def pull_push(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of known colours at every place; where none is known, that of a picture half as large."""
    mean = sums / np.maximum(weights, 1e-6)
    if min(weights.shape[:2]) == 1 or (weights > 0).all():
        overall_mean = sums.sum((0, 1)) / np.maximum(weights.sum((0, 1)), 1e-6)
        return np.where(weights > 0, mean, overall_mean)
    padding = [(0, n % 2) for n in weights.shape[:2]]
    padded_grids = [np.pad(grid, [*padding, (0, 0)]) for grid in (sums, weights)]
    coarse = pull_push(
        *(grid[0::2, 0::2] + grid[1::2, 0::2] + grid[0::2, 1::2] + grid[1::2, 1::2] for grid in padded_grids)
    )
    upsampled = coarse.repeat(2, 0).repeat(2, 1)[: weights.shape[0], : weights.shape[1]]
    return np.where(weights > 0, mean, upsampled)


def expand_canvas(image: np.ndarray, left: int, right: int, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture (H, W, 3) or mask (H, W) with room on its sides, in pixels, and where that room is."""
    margins = ((top, bottom), (left, right))
    canvas = np.pad(image, (*margins, (0, 0))[: image.ndim])
    return canvas, np.pad(np.zeros(image.shape[:2], bool), margins, constant_values=True)
