import json

import numpy as np
import pytest

from genloom.evaluate.distribution import (
    Reconstruction,
    compare_distances,
    compute_psnr,
    measure_distance,
    measure_distribution,
)


def drawn(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8)) + shift


def test_a_perfect_model_shows_what_training_values_show():
    made, held, train = drawn(200, 1), drawn(200, 2), drawn(500, 3)
    found = measure_distribution("icons/1", "icons@abc:val", 0.5, made, held, train, Reconstruction(30.0, 1.0))
    assert found.train_distance is not None
    assert found.distance.count == found.train_distance.count == 200
    assert found.distance.frechet == pytest.approx(found.train_distance.frechet, rel=0.5)
    assert found.precision_recall.coverage > 0.9
    assert found.generated_diversity.vendi_score == pytest.approx(found.held_out_diversity.vendi_score, rel=0.1)
    assert json.loads(json.dumps(found.to_report()))["reconstruction"] == {"psnr": 30.0, "frechet": 1.0}


def test_distances_are_of_equal_counts_and_of_enough():
    assert measure_distance(drawn(100, 1), drawn(60, 2)).count == 60
    with pytest.raises(ValueError, match="20 or more"):
        measure_distance(drawn(100, 1), drawn(19, 2))


def test_a_model_that_is_nearer_is_shown_to_be_so_and_equals_are_not():
    held, near, far, other = drawn(400, 1), drawn(400, 2), drawn(400, 3, 0.8), drawn(400, 4)
    assert compare_distances(far, near, held).high < 0
    assert compare_distances(near, far, held).low > 0
    assert not compare_distances(near, other, held).excludes(0)


def test_psnr_is_the_closed_form():
    flat = [np.full((4, 4, 3), 100, np.uint8)]
    off = [np.full((4, 4, 3), 110, np.uint8)]
    assert compute_psnr(flat, off) == pytest.approx(10 * np.log10(255**2 / 100))
    assert compute_psnr(flat, flat) == 100
