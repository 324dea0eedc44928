"""Features and coarse embeddings of images."""

import numpy as np
import pytest

from genloom import plugins
from genloom.evaluate.features.efficientnet import build_extractor, compute_coarse_embedding
from genloom.networks.efficientnet import WEIGHTS_PACKAGE

pytest.importorskip(WEIGHTS_PACKAGE)


def make_image(seed: int, size: int = 32) -> np.ndarray:
    """A soft gradient with a square in it."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(rng.integers(0, 255, 3), rng.integers(0, 255, 3), size)
    image = np.repeat(ramp[:, None], size, 1)
    left, top = rng.integers(0, size // 2, 2)
    image[top : top + size // 2, left : left + size // 2] = rng.integers(0, 255, 3)
    return image.astype(np.uint8)


def test_batching_does_not_change_features():
    extract, images = build_extractor(), [make_image(seed) for seed in range(3)]
    together = extract(images)
    assert together.shape == (3, 1280)
    assert together.dtype == np.float32
    assert np.allclose(together[2], extract([images[2]])[0], atol=1e-4)
    assert extract([]).shape == (0, 1280)


def test_an_enlarged_image_has_nearly_the_same_features():
    small, other = make_image(0, 64), make_image(5, 64)
    large = small.repeat(2, 0).repeat(2, 1)
    features = build_extractor()([small, large, other])
    assert np.linalg.norm(features[0] - features[1]) < 0.5 * np.linalg.norm(features[0] - features[2])


def test_a_coarse_embedding_holds_mean_colours():
    white = np.full((64, 48, 3), 255, np.uint8)
    assert compute_coarse_embedding(white) == pytest.approx(np.ones(768))
    half = np.concatenate([np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)])
    assert compute_coarse_embedding(half).reshape(3, 16, 16)[:, :8].max() == 0


def test_the_feature_extractor_of_images_exists():
    name = plugins.find_part("medium", "image").feature_extractor
    assert plugins.find_part("features", name).KEY
