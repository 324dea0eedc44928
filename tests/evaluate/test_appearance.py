import json

import numpy as np
import pytest

from genloom.evaluate.appearance import Reconstruction, appearance, distance, nearer, psnr


def drawn(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8)) + shift


def test_a_perfect_model_shows_what_training_values_show():
    made, held, train = drawn(200, 1), drawn(200, 2), drawn(500, 3)
    found = appearance("icons/1", "icons@abc:val", 0.5, made, held, train, Reconstruction(30.0, 1.0))
    assert found.real is not None
    assert found.distance.count == found.real.count == 200
    assert found.distance.frechet == pytest.approx(found.real.frechet, rel=0.5)
    assert found.manifold.coverage > 0.9
    assert found.made.vendi == pytest.approx(found.held.vendi, rel=0.1)
    assert json.loads(json.dumps(found.report()))["reconstruction"] == {"psnr": 30.0, "frechet": 1.0}


def test_distances_are_of_equal_counts_and_of_enough():
    assert distance(drawn(100, 1), drawn(60, 2)).count == 60
    with pytest.raises(ValueError, match="20 or more"):
        distance(drawn(100, 1), drawn(19, 2))


def test_a_model_that_is_nearer_is_shown_to_be_so_and_equals_are_not():
    held, near, far, other = drawn(400, 1), drawn(400, 2), drawn(400, 3, 0.8), drawn(400, 4)
    assert nearer(far, near, held).high < 0
    assert nearer(near, far, held).low > 0
    assert not nearer(near, other, held).excludes(0)


def test_psnr_is_the_closed_form():
    flat = [np.full((4, 4, 3), 100, np.uint8)]
    off = [np.full((4, 4, 3), 110, np.uint8)]
    assert psnr(flat, off) == pytest.approx(10 * np.log10(255**2 / 100))
    assert psnr(flat, flat) == 100
