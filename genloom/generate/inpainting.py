"""The missing part of a picture: a square around it is made anew to fit, and pasted in; all else stays as it was.

Shape letters: H, W rows and columns of a picture, S side of a square.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

AROUND = 1.5  # how much wider the square is than what is missing, so that the model sees what surrounds it


@dataclass(frozen=True, eq=False)
class Hole:
    """A picture, uint8 (H, W, 3), and where it is to be made anew, True in `missing` (H, W), by a model of one side."""

    picture: np.ndarray
    missing: np.ndarray
    side: int  # of the squares that the model makes

    @cached_property
    def window(self) -> "Window":
        return window(self.missing, self.side)

    @cached_property
    def square(self) -> np.ndarray:
        """What the model is shown, uint8 (side, side, 3): the surroundings, and a guess where something is missing."""
        return resized(filled(self.window.cut(self.picture, 0), self.window.cut(self.missing, 1)), self.side)

    def unknown(self, grid: tuple[int, int]) -> np.ndarray:
        """Which places of an H × W grid over the square hold something that is missing, bool (H, W)."""
        missing_SS = Image.fromarray(self.window.cut(self.missing, 1).astype(np.float32))
        return np.asarray(missing_SS.resize((grid[1], grid[0]), Image.Resampling.BOX)) > 1e-6

    def paste(self, made: np.ndarray) -> np.ndarray:
        """The whole picture with the missing part taken from what the model made of the square."""
        w, whole = self.window, self.picture.copy()
        rows, columns = w.inside(*self.missing.shape)
        hole, patch = self.missing[rows, columns], resized(made, w.side)[rows.start - w.top :, columns.start - w.left :]
        whole[rows, columns][hole] = patch[: hole.shape[0], : hole.shape[1]][hole]
        return whole


@dataclass(frozen=True)
class Window:
    """A square of a picture; it may reach beyond its edges."""

    top: int
    left: int
    side: int

    def inside(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns of the picture that it holds."""
        rows = slice(max(self.top, 0), min(self.top + self.side, height))
        return rows, slice(max(self.left, 0), min(self.left + self.side, width))

    def cut(self, grid: np.ndarray, beyond: int) -> np.ndarray:
        """The square's content, and `beyond` where it reaches beyond the edges."""
        square = np.full((self.side, self.side, *grid.shape[2:]), beyond, grid.dtype)
        rows, columns = self.inside(*grid.shape[:2])
        part = grid[rows, columns]
        top, left = rows.start - self.top, columns.start - self.left
        square[top : top + part.shape[0], left : left + part.shape[1]] = part
        return square


def window(missing: np.ndarray, side: int) -> Window:
    """The square around what is missing: as small as still shows its surroundings, and within the picture if it can."""
    height, width = missing.shape
    rows, columns = np.flatnonzero(missing.any(1)), np.flatnonzero(missing.any(0))
    extents = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    wanted = max(round(AROUND * max(extents)), side)
    size = max(min(wanted, min(height, width)), *extents)
    top = placed((rows[0] + rows[-1] + 1) / 2, size, height)
    return Window(top, placed((columns[0] + columns[-1] + 1) / 2, size, width), size)


def placed(middle: float, size: int, room: int) -> int:
    """Where a stretch with this middle begins: moved to lie within the room, or around it where it is longer."""
    if size >= room:
        return -((size - room) // 2)
    return int(min(max(round(middle - size / 2), 0), room - size))


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    if picture.shape[:2] == (side, side):
        return picture
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def filled(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The picture with what is missing painted over smoothly from its surroundings (pull-push, Gortler et al. 1996)."""
    known = (~missing).astype(np.float32)[..., None]
    colours = pulled(picture * known, known)
    return np.where(missing[..., None], np.rint(colours).clip(0, 255), picture).astype(np.uint8)


def pulled(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of known colours at every place; where none is known, that of a picture half as large."""
    mean = sums / np.maximum(weights, 1e-6)
    if min(weights.shape[:2]) == 1 or (weights > 0).all():
        whole = sums.sum((0, 1)) / np.maximum(weights.sum((0, 1)), 1e-6)
        return np.where(weights > 0, mean, whole)
    even = [(0, n % 2) for n in weights.shape[:2]]
    halves = [np.pad(grid, [*even, (0, 0)]) for grid in (sums, weights)]
    coarse = pulled(*(grid[0::2, 0::2] + grid[1::2, 0::2] + grid[0::2, 1::2] + grid[1::2, 1::2] for grid in halves))
    finer = coarse.repeat(2, 0).repeat(2, 1)[: weights.shape[0], : weights.shape[1]]
    return np.where(weights > 0, mean, finer)


def widened(picture: np.ndarray, left: int, right: int, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture (H, W, 3) or mask (H, W) with room on its sides, in pixels, and where that room is."""
    room = ((top, bottom), (left, right))
    wide = np.pad(picture, (*room, (0, 0))[: picture.ndim])
    return wide, np.pad(np.zeros(picture.shape[:2], bool), room, constant_values=True)
