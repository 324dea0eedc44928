"""Palettes: the few colours of a drawing, and the drawing in these colours alone.

Shape letters: H, W rows and columns, N colours, K colours of a palette.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError
from genloom.media.image.decoding import parse_colour

Picture = NDArray[np.uint8]  # H W 3
Numbers = NDArray[Any]
MAX_COLOURS, DEFAULT_COLOURS = 64, 12
_FLAT_CONTRAST = 12  # difference to a neighbour, of 255, below which a pixel lies inside an area
_EDGE_WEIGHT = 0.02  # of a pixel at an edge, whose colour is mostly a mixture
_MIN_SHARE = 0.002  # of the pixels, for a colour of its own
_CELL_BITS = 4  # of the levels of a channel, by which colours are counted
_MIN_DISTANCE = 30.0  # between two colours, of 255 for each channel, weighted as eyes see them
_COLOUR_WEIGHTS = np.array([2.0, 4.0, 3.0]) / 3  # of squared differences (the mean of "redmean")


def read_palette(text: str) -> tuple[int, NDArray[np.uint8] | None]:
    """Return the number of colours that a text asks for, and the colours themselves if it lists them.

    Raise GenloomError for what is neither a number from 2 to 64 nor a list of colours.
    """
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,4}", text):
        if not 2 <= int(text) <= MAX_COLOURS:
            raise GenloomError("media.bad_palette", value=text, limit=MAX_COLOURS)
        return int(text), None
    names = [name.strip() for name in text.split(",")]
    if not 2 <= len(names) <= MAX_COLOURS:
        raise GenloomError("media.bad_palette", value=text, limit=MAX_COLOURS)
    return len(names), np.array([parse_colour(name) for name in names], np.uint8)


def choose_palette(picture: Picture, max_colours: int = DEFAULT_COLOURS) -> NDArray[np.uint8]:
    """Return the colours of the areas of a picture, K 3, the most frequent first.

    Colours that only occur where two others meet are mixtures, and none of their own.
    """
    colours_N3, weights_N = count_colours(picture)
    chosen: list[int] = []
    for number in np.argsort(-weights_N, kind="stable").tolist():
        near = [measure_distances(colours_N3[number], colours_N3[other][None])[0] < _MIN_DISTANCE for other in chosen]
        if not any(near) and (not chosen or weights_N[number] >= _MIN_SHARE):
            chosen.append(number)
    palette_K3 = colours_N3[chosen]
    for _ in range(3):  # k-means
        nearest_N = find_nearest(colours_N3, palette_K3)
        palette_K3 = np.stack(
            [average_colours(colours_N3, weights_N * (nearest_N == k)) for k in range(len(palette_K3))]
        )
    nearest_N = find_nearest(colours_N3, palette_K3)
    shares_K = np.bincount(nearest_N, weights_N, len(palette_K3))
    palette_K3, shares_K = merge_colours(palette_K3, shares_K, max_colours)
    return np.rint(palette_K3[np.argsort(-shares_K, kind="stable")]).astype(np.uint8)


def count_colours(picture: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean colours of the occupied cells of a grid over all colours, N 3, and their weights, N, sum 1."""
    x = picture.astype(np.int16)
    contrast_HW = np.zeros(x.shape[:2], np.int16)
    for axis in (0, 1):
        step = np.abs(np.diff(x, axis=axis)).max(2)
        before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        before[axis], after[axis] = (1, 0), (0, 1)
        contrast_HW = np.maximum(contrast_HW, np.maximum(np.pad(step, before), np.pad(step, after)))
    weights = np.where(contrast_HW.ravel() < _FLAT_CONTRAST, 1.0, _EDGE_WEIGHT)
    cells = (picture.reshape(-1, 3).astype(np.int64) >> _CELL_BITS) @ np.array([1 << 16, 1 << 8, 1])
    _, cell_of_pixel = np.unique(cells, return_inverse=True)
    totals_N = np.bincount(cell_of_pixel, weights)
    sums = [np.bincount(cell_of_pixel, weights * channel) for channel in picture.reshape(-1, 3).T]
    return np.stack(sums, 1) / totals_N[:, None], totals_N / totals_N.sum()


def average_colours(colours_N3: NDArray[np.float64], weights_N: NDArray[np.float64]) -> NDArray[np.float64]:
    return (colours_N3 * weights_N[:, None]).sum(0) / max(float(weights_N.sum()), 1e-12)


def merge_colours(palette_K3: Numbers, shares_K: Numbers, max_colours: int) -> tuple[Numbers, Numbers]:
    """Merge the pair of colours whose union costs least, until there are `max_colours` (Ward's method)."""
    while len(palette_K3) > max_colours:
        distances_KK = np.stack([np.square(measure_distances(colour, palette_K3)) for colour in palette_K3])
        costs_KK = distances_KK * np.outer(shares_K, shares_K) / np.add.outer(shares_K, shares_K)
        np.fill_diagonal(costs_KK, np.inf)
        kept, gone = sorted(divmod(int(np.argmin(costs_KK)), len(palette_K3)))
        pair = [kept, gone]
        palette_K3 = palette_K3.copy()
        palette_K3[kept] = average_colours(palette_K3[pair], shares_K[pair])
        shares_K = shares_K.copy()
        shares_K[kept] += shares_K[gone]
        palette_K3, shares_K = np.delete(palette_K3, gone, 0), np.delete(shares_K, gone)
    return palette_K3, shares_K


def measure_distances(colour: Numbers, palette_K3: Numbers) -> NDArray[np.float64]:
    return np.sqrt(np.square(palette_K3.astype(np.float64) - colour) @ _COLOUR_WEIGHTS)


def find_nearest(colours_N3: Numbers, palette_K3: Numbers) -> NDArray[np.intp]:
    """Return the number of the nearest colour of the palette for each colour."""
    return np.stack([measure_distances(colour, colours_N3) for colour in palette_K3.astype(np.float64)]).argmin(0)


def label_pixels(picture: Picture, palette_K3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the number of the nearest colour of the palette for each pixel, H W."""
    colours, pixel_colours = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    return (
        find_nearest(colours.astype(np.float64), palette_K3)[pixel_colours.ravel()]
        .reshape(picture.shape[:2])
        .astype(np.uint8)
    )


def reduce_colours(picture: Picture, text: str) -> Picture:
    """Return the picture in the colours that a text asks for: a number of its own, or those listed."""
    count, palette_K3 = read_palette(text)
    palette_K3 = choose_palette(picture, count) if palette_K3 is None else palette_K3
    return palette_K3[label_pixels(picture, palette_K3)]
