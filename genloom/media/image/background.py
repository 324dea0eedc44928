"""The background of a drawing: the colour at its border, as far as it is connected, and its transparency.

Shape letters: H, W rows and columns.
"""

import numpy as np
from numpy.typing import NDArray

from genloom.media.image.style_features import estimate_background

Picture = NDArray[np.uint8]  # H W 3
Mask = NDArray[np.bool_]  # H W
_TOLERANCE = 26  # difference of a channel to the background, of 255
_REACH = 2  # pixels from the background within which a colour may be a mixture with it


def find_background(picture: Picture, tolerance: int = _TOLERANCE) -> Mask:
    """Return the pixels of about the border's colour that are connected to the border."""
    difference_HW = np.abs(picture.astype(np.int16) - estimate_background(picture)).max(2)
    is_alike = difference_HW <= tolerance
    is_border = np.zeros_like(is_alike)
    is_border[0] = is_border[-1] = True
    is_border[:, 0] = is_border[:, -1] = True
    return flood_area(is_alike, is_alike & is_border)


def flood_area(area: Mask, seeds: Mask) -> Mask:
    """Return the parts of an area that are connected to the seeds, along rows and columns."""
    filled = seeds & area
    while True:
        before = filled
        for turned in (False, True):
            filled = flood_rows(area.T, filled.T).T if turned else flood_rows(area, filled)
        if np.array_equal(filled, before):
            return filled


def flood_rows(area: Mask, seeds: Mask) -> Mask:
    """Return the runs of an area, in rows, that hold a seed."""
    is_wall = np.pad(~area, ((0, 0), (1, 0)), constant_values=True)  # so that no run goes on in the next row
    run_of_cell = np.cumsum(is_wall.ravel()).reshape(is_wall.shape)[:, 1:]
    has_seed = np.bincount(run_of_cell.ravel(), seeds.ravel(), int(run_of_cell.max()) + 1) > 0
    return area & has_seed[run_of_cell]


def make_transparent(picture: Picture) -> NDArray[np.uint8]:
    """Return the picture with a transparent background, H W 4; edges keep the softness that they had.

    A pixel beside the background is a mixture of it and of the colour inside; its share is its opacity (Porter and
    Duff 1984).
    """
    background = find_background(picture)
    colour = estimate_background(picture)
    x = picture.astype(np.float64)
    difference_HW = np.abs(x - colour).max(2)
    inside_HW = difference_HW
    for _ in range(_REACH):
        inside_HW = spread_maximum(inside_HW)
    is_edge = dilate_mask(background, _REACH) & dilate_mask(~background, _REACH)
    alpha_HW = np.where(background, 0.0, 1.0)
    alpha_HW[is_edge] = np.clip(difference_HW[is_edge] / np.maximum(inside_HW[is_edge], 1e-6), 0, 1)
    solid = colour + (x - colour) / np.maximum(alpha_HW, 1e-6)[..., None]
    rgb = np.where(alpha_HW[..., None] > 0, solid, 0).clip(0, 255)
    return np.rint(np.concatenate([rgb, 255 * alpha_HW[..., None]], 2)).astype(np.uint8)


def spread_maximum(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the greatest value of each cell and its eight neighbours."""
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (1, 1)
        padded, length = np.pad(x, padding, mode="edge"), x.shape[axis]
        x = np.maximum.reduce([np.take(padded, range(start, start + length), axis) for start in range(3)])
    return x


def dilate_mask(mask: Mask, reach: int) -> Mask:
    """Return the mask with all cells that are at most `reach` cells from it, also diagonally."""
    for _ in range(reach):
        tall = mask.copy()
        tall[1:] |= mask[:-1]
        tall[:-1] |= mask[1:]
        mask = tall.copy()
        mask[:, 1:] |= tall[:, :-1]
        mask[:, :-1] |= tall[:, 1:]
    return mask
