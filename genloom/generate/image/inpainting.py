"""Inpainting: generate a square around the missing part of an image, and paste that part into the original.

Shape letters: H, W rows and columns of an image, S side of a square.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from genloom.media.image.background import dilate_mask, flood_area

CONTEXT_SCALE = 1.5  # side of the square over that of the missing part, to show the model its surroundings
MAX_WINDOWS = 8  # squares of one image
_BORDER = 2  # pixels beside the missing part whose colours the generated part is adapted to
_FADE_SHARE = 1 / 16  # of the side of the square: how far into the missing part it is adapted


@dataclass(frozen=True, eq=False)
class InpaintRegion:
    """An image, uint8 (H, W, 3), and the part to generate, True in `mask` (H, W).

    `missing` (H, W) also has other parts that are still to be generated; None: there are none. `opacity`, float (H, W)
    from 0 to 1, says how much of each missing pixel is replaced; None: all of it. With `is_seamless`, the colours of
    the generated part are adapted to those beside it.
    """

    image: np.ndarray
    mask: np.ndarray
    side: int  # of the images that the model generates
    missing: np.ndarray | None = None
    opacity: np.ndarray | None = None
    is_seamless: bool = False

    @property
    def all_missing(self) -> np.ndarray:
        """The pixels that are not known, in this part and in others, bool (H, W)."""
        return self.mask if self.missing is None else self.missing

    @cached_property
    def crop(self) -> "Crop":
        return find_crop(self.mask, self.side)

    @cached_property
    def model_input(self) -> np.ndarray:
        """The square as the model's input, uint8 (side, side, 3), with the missing part filled in smoothly."""
        return resize_square(
            prefill_missing(self.crop.extract(self.image, 0), self.crop.extract(self.all_missing, 1)), self.side
        )

    def downsample_mask(self, grid_size: tuple[int, int]) -> np.ndarray:
        """Return which cells of an H × W grid over the square contain missing pixels, bool (H, W)."""
        mask_SS = Image.fromarray(self.crop.extract(self.all_missing, 1).astype(np.float32))
        return np.asarray(mask_SS.resize((grid_size[1], grid_size[0]), Image.Resampling.BOX)) > 1e-6

    def paste(self, generated: np.ndarray) -> np.ndarray:
        """Return the whole image, with the missing part taken from the generated square."""
        crop, pasted_image = self.crop, self.image.copy()
        rows, columns = crop.get_slices(*self.mask.shape)
        visible_mask = self.mask[rows, columns]
        height, width = visible_mask.shape
        patch = resize_square(generated, crop.side)[rows.start - crop.top :, columns.start - crop.left :]
        patch = patch[:height, :width]
        if self.is_seamless:
            is_known = ~self.all_missing[rows, columns]
            reach = max(round(crop.side * _FADE_SHARE), 2)
            patch = adapt_colours(patch, self.image[rows, columns], visible_mask, is_known, reach)
        if self.opacity is not None:
            opacity = self.opacity[rows, columns, None]
            patch = np.rint(opacity * patch + (1 - opacity) * self.image[rows, columns]).astype(np.uint8)
        pasted_image[rows, columns][visible_mask] = patch[visible_mask]
        return pasted_image


@dataclass(frozen=True)
class Crop:
    """A square of an image; it can extend beyond the image."""

    top: int
    left: int
    side: int

    def get_slices(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the image within the square."""
        rows = slice(max(self.top, 0), min(self.top + self.side, height))
        return rows, slice(max(self.left, 0), min(self.left + self.side, width))

    def extract(self, array: np.ndarray, fill_value: int) -> np.ndarray:
        """Return the square's content, with `fill_value` outside the image."""
        square = np.full((self.side, self.side, *array.shape[2:]), fill_value, array.dtype)
        rows, columns = self.get_slices(*array.shape[:2])
        part = array[rows, columns]
        top, left = rows.start - self.top, columns.start - self.left
        square[top : top + part.shape[0], left : left + part.shape[1]] = part
        return square


def find_crop(mask: np.ndarray, side: int) -> Crop:
    """Find the smallest square that shows the missing part with its surroundings, within the image if possible."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    extents = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    preferred_size = max(round(CONTEXT_SCALE * max(extents)), side)
    size = max(min(preferred_size, min(height, width)), *extents)
    top = place_interval((rows[0] + rows[-1] + 1) / 2, size, height)
    return Crop(top, place_interval((columns[0] + columns[-1] + 1) / 2, size, width), size)


def place_interval(center: float, size: int, available: int) -> int:
    """Return the start of an interval around `center`, shifted into the available range, or centred if it is longer."""
    if size >= available:
        return -((size - available) // 2)
    return int(min(max(round(center - size / 2), 0), available - size))


def adapt_colours(
    patch: np.ndarray, image: np.ndarray, mask: np.ndarray, is_known: np.ndarray, reach: int
) -> np.ndarray:
    """Return the patch with the colours of the image at the border of the mask, fading out `reach` pixels inside.

    What a model generates of the known pixels differs a little from them, by its codec; the difference at the border
    goes on into the missing part (the membrane of Pérez et al. 2003, "Poisson image editing", which fades here). A
    patch that agrees with the image beside the missing part stays as it is.
    """
    is_border = dilate_mask(mask, _BORDER) & is_known
    if not is_border.any():
        return patch
    weights = is_border[..., None].astype(np.float32)
    difference = pull_push((image.astype(np.float32) - patch) * weights, weights)
    share, inner = np.zeros(mask.shape, np.float32), mask
    for depth in range(reach):  # the pixels at each depth below the border
        eroded = ~dilate_mask(~inner, 1)
        share[inner & ~eroded] = 1 - (depth + 0.5) / reach
        inner = eroded
    return np.rint(patch + share[..., None] * difference).clip(0, 255).astype(np.uint8)


def split_mask(mask: np.ndarray, side: int) -> list[np.ndarray]:
    """Return the parts of a mask (H, W) that are generated in squares of their own, from the top left.

    Parts share a square where none of them is shown smaller for it, and at most `MAX_WINDOWS` are made.
    """
    parts, remaining = [], mask.copy()
    while remaining.any():
        seeds = np.zeros_like(mask)
        seeds.flat[int(np.argmax(remaining))] = True
        part = grow_diagonally(remaining, seeds)
        parts.append(part)
        remaining &= ~part
        if len(parts) > MAX_WINDOWS**2:  # a mask of dots
            return [mask]
    while (pair := find_pair(parts, side)) is not None:
        first, second = pair
        parts = [part for k, part in enumerate(parts) if k not in pair] + [parts[first] | parts[second]]
    return sorted(parts, key=lambda part: int(np.argmax(part)))


def grow_diagonally(area: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return the part of an area that is connected to the seeds, also by corners."""
    part = flood_area(area, seeds)
    while not np.array_equal(grown := flood_area(area, dilate_mask(part, 1) & area), part):
        part = grown
    return part


def find_pair(parts: list[np.ndarray], side: int) -> tuple[int, int] | None:
    """Return the two parts whose common square is the smallest, if they are to share it; None if none are."""
    sides = [find_crop(part, side).side for part in parts]
    joined = {
        (a, b): find_crop(parts[a] | parts[b], side).side for a in range(len(parts)) for b in range(a + 1, len(parts))
    }
    if not joined:
        return None
    pair = min(joined, key=lambda pair: (joined[pair] - max(sides[pair[0]], sides[pair[1]]), joined[pair], pair))
    fits = joined[pair] <= max(sides[pair[0]], sides[pair[1]])
    return pair if fits or len(parts) > MAX_WINDOWS else None


@dataclass(frozen=True, eq=False)
class FittedImage:
    """An image in the middle of a square, whose edges go on to the border of the square; uint8 (H, W, 3)."""

    image: np.ndarray
    side: int  # of the images that the model generates

    @property
    def size(self) -> tuple[int, int]:
        """The rows and columns of the image in the square."""
        height, width, _ = self.image.shape
        scale = self.side / max(height, width)
        return max(round(height * scale), 1), max(round(width * scale), 1)

    @property
    def model_input(self) -> np.ndarray:
        height, width = self.size
        small = np.asarray(Image.fromarray(self.image).resize((width, height), Image.Resampling.LANCZOS))
        margins = [((self.side - n) // 2, self.side - n - (self.side - n) // 2) for n in (height, width)]
        return np.pad(small, (*margins, (0, 0)), mode="edge")

    def cut(self, generated: np.ndarray) -> np.ndarray:
        """Return the image of a generated square, without what was added at the sides."""
        height, width = self.size
        top, left = (self.side - height) // 2, (self.side - width) // 2
        return np.ascontiguousarray(generated[top : top + height, left : left + width])


def resize_square(image: np.ndarray, side: int) -> np.ndarray:
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


def prefill_missing(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill the missing part smoothly from its surroundings (pull-push, Gortler et al. 1996)."""
    known_weights = (~mask).astype(np.float32)[..., None]
    colours = pull_push(image * known_weights, known_weights)
    return np.where(mask[..., None], np.rint(colours).clip(0, 255), image).astype(np.uint8)


def pull_push(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean of known colours at every pixel, taken from coarser levels where none is known."""
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
    """Return an image (H, W, 3) or mask (H, W) with margins in pixels, and the mask of the margins."""
    margins = ((top, bottom), (left, right))
    canvas = np.pad(image, (*margins, (0, 0))[: image.ndim])
    return canvas, np.pad(np.zeros(image.shape[:2], bool), margins, constant_values=True)
