import numpy as np
import pytest

from genloom import plugins
from genloom.evaluate.features.efficientnet import PerceptualDistance, build_extractor, compute_coarse_embedding
from genloom.networks.efficientnet import WEIGHTS_PACKAGE

pytest.importorskip(WEIGHTS_PACKAGE)


def picture(seed: int, size: int = 32) -> np.ndarray:
    """A soft gradient with a square in it."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(rng.integers(0, 255, 3), rng.integers(0, 255, 3), size)
    found = np.repeat(ramp[:, None], size, 1)
    left, top = rng.integers(0, size // 2, 2)
    found[top : top + size // 2, left : left + size // 2] = rng.integers(0, 255, 3)
    return found.astype(np.uint8)


def test_features_of_many_are_those_of_each():
    features, pictures = build_extractor(), [picture(seed) for seed in range(3)]
    together = features(pictures)
    assert together.shape == (3, 1280)
    assert together.dtype == np.float32
    assert np.allclose(together[2], features([pictures[2]])[0], atol=1e-4)
    assert features([]).shape == (0, 1280)


def test_the_same_picture_larger_has_nearly_the_same_features():
    small, other = picture(0, 64), picture(5, 64)
    large = small.repeat(2, 0).repeat(2, 1)
    found = build_extractor()([small, large, other])
    assert np.linalg.norm(found[0] - found[1]) < 0.5 * np.linalg.norm(found[0] - found[2])


def test_a_sketch_is_the_mean_colours_of_a_picture():
    white = np.full((64, 48, 3), 255, np.uint8)
    assert compute_coarse_embedding(white) == pytest.approx(np.ones(768))
    half = np.concatenate([np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)])
    assert compute_coarse_embedding(half).reshape(3, 16, 16)[:, :8].max() == 0


def test_unlikeness_is_zero_of_equals_and_grows_with_what_is_changed():
    unlike, one = PerceptualDistance(), picture(1)
    little, much = one.copy(), 255 - one
    little[:6, :6] = 0
    assert unlike(one, one) == pytest.approx(0, abs=1e-6)
    assert 0 < unlike(one, little) < unlike(one, much)


def test_unlikeness_looks_only_where_it_is_told():
    unlike, one = PerceptualDistance(), picture(1)
    changed = one.copy()
    changed[24:, 24:] = 255 - changed[24:, 24:]
    where = np.zeros((32, 32), bool)
    where[24:, 24:] = True
    elsewhere = np.zeros((32, 32), bool)
    elsewhere[:8, :8] = True
    assert unlike(one, changed, where) > 3 * unlike(one, changed, elsewhere)


def test_the_medium_image_names_features_that_are_there():
    named = plugins.find_part("medium", "image").feature_extractor
    assert plugins.find_part("features", named).KEY
