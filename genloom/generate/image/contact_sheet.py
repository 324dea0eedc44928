"""Contact sheets: several images as one."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from PIL import Image

GAP = 4  # pixels between images and around them
BACKGROUND = 255


def build_contact_sheet(images: Sequence[np.ndarray], columns: int = 0) -> np.ndarray:
    """Arrange images, uint8 (H, W, 3), in `columns` (0: about as many as rows).

    Images of different sizes are scaled to the smallest height; cells are as wide as the widest image then is.
    """
    row_height = min(len(image) for image in images)
    scaled_images = [scale_to_height(image, row_height) for image in images]
    cell_width, columns = max(image.shape[1] for image in scaled_images), columns or ceil(sqrt(len(scaled_images)))
    rows = ceil(len(scaled_images) / columns)
    canvas = np.full((rows * (row_height + GAP) + GAP, columns * (cell_width + GAP) + GAP, 3), BACKGROUND, np.uint8)
    for index, image in enumerate(scaled_images):
        top, left = GAP + index // columns * (row_height + GAP), GAP + index % columns * (cell_width + GAP)
        canvas[top : top + row_height, left : left + image.shape[1]] = image
    return canvas


def scale_to_height(image: np.ndarray, target_height: int) -> np.ndarray:
    height, width, _ = image.shape
    if height == target_height:
        return image
    size = max(round(width * target_height / height), 1), target_height
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
