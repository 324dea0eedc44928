"""A contact sheet: pictures side by side in rows, as one picture."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from PIL import Image

GAP = 4  # pixels between two pictures and around them
PAPER = 255


def sheet(pictures: Sequence[np.ndarray], columns: int = 0) -> np.ndarray:
    """Pictures, uint8 (H, W, 3), in the order given, as one; about as many rows as columns where nobody says.

    Those of several sizes are made as high as the lowest, and each place is as wide as the widest then is.
    """
    high = min(len(picture) for picture in pictures)
    small = [scaled(picture, high) for picture in pictures]
    wide, columns = max(picture.shape[1] for picture in small), columns or ceil(sqrt(len(small)))
    rows = ceil(len(small) / columns)
    paper = np.full((rows * (high + GAP) + GAP, columns * (wide + GAP) + GAP, 3), PAPER, np.uint8)
    for n, picture in enumerate(small):
        top, left = GAP + n // columns * (high + GAP), GAP + n % columns * (wide + GAP)
        paper[top : top + high, left : left + picture.shape[1]] = picture
    return paper


def scaled(picture: np.ndarray, high: int) -> np.ndarray:
    height, width, _ = picture.shape
    if height == high:
        return picture
    size = max(round(width * high / height), 1), high
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
