"""Copies of training pictures: near ones by features, compared by their pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genloom.trust.copies import CopyReport, TrainingData
from genloom.trust.shared_features import find_shared_features

Picture = NDArray[np.uint8]  # H W 3


def find_shared(values: Sequence[Picture], data: TrainingData) -> list[CopyReport]:
    """Find the training pictures nearest to each picture."""
    return find_shared_features(values, data, measure_pixel_difference)


def measure_pixel_difference(picture: Picture, other: Picture) -> float:
    """Return the mean absolute difference of the colours, from 0 to 1, at the size of the first picture."""
    from PIL import Image

    height, width = picture.shape[:2]
    if other.shape[:2] != (height, width):
        other = np.asarray(Image.fromarray(other).resize((width, height), Image.Resampling.BILINEAR))
    return float(np.abs(picture.astype(np.float32) - other.astype(np.float32)).mean() / 255)
