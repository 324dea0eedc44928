"""The perceptual distance of the inpainting benchmark."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from genloom.networks.efficientnet import WEIGHTS_PACKAGE

pytest.importorskip(WEIGHTS_PACKAGE)

PerceptualDistance = runpy.run_path(str(Path(__file__).parents[2] / "bench/perceptual_distance.py"))[
    "PerceptualDistance"
]


def make_image(size: int = 32) -> np.ndarray:
    """A soft gradient with a square in it."""
    rng = np.random.default_rng(1)
    ramp = np.linspace(rng.integers(0, 255, 3), rng.integers(0, 255, 3), size)
    image = np.repeat(ramp[:, None], size, 1)
    image[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = rng.integers(0, 255, 3)
    return image.astype(np.uint8)


def test_distance_is_zero_for_equals_and_grows_with_the_change():
    distance, image = PerceptualDistance(), make_image()
    slightly_changed, negative = image.copy(), 255 - image
    slightly_changed[:6, :6] = 0
    assert distance(image, image) == pytest.approx(0, abs=1e-6)
    assert 0 < distance(image, slightly_changed) < distance(image, negative)


def test_a_mask_limits_where_images_are_compared():
    distance, image = PerceptualDistance(), make_image()
    changed = image.copy()
    changed[24:, 24:] = 255 - changed[24:, 24:]
    changed_mask, other_mask = np.zeros((32, 32), bool), np.zeros((32, 32), bool)
    changed_mask[24:, 24:] = True
    other_mask[:8, :8] = True
    assert distance(image, changed, changed_mask) > 3 * distance(image, changed, other_mask)
