"""Distribution metrics: a perfect model, equal counts, paired comparison, and PSNR."""

import json

import numpy as np
import pytest

from genloom.evaluate.distribution import (
    Reconstruction,
    compare_distances,
    measure_distance,
    measure_distribution,
)
from genloom.evaluate.image import compute_psnr
from tests.errors import raises_code


def sample(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8)) + shift


def test_a_perfect_model_measures_like_training_values():
    generated, held_out, train = sample(200, 1), sample(200, 2), sample(500, 3)
    reconstruction = Reconstruction(30.0, 1.0)
    metrics = measure_distribution("icons/1", "icons@abc:val", 0.5, generated, held_out, train, reconstruction)
    assert metrics.train_distance is not None
    assert metrics.distance.count == metrics.train_distance.count == 200
    assert metrics.distance.frechet == pytest.approx(metrics.train_distance.frechet, rel=0.5)
    assert metrics.precision_recall.coverage > 0.9
    assert metrics.generated_diversity.vendi_score == pytest.approx(metrics.held_out_diversity.vendi_score, rel=0.1)
    assert json.loads(json.dumps(metrics.to_json()))["reconstruction"] == {"psnr": 30.0, "frechet": 1.0}


def test_distances_need_equal_and_sufficient_counts():
    assert measure_distance(sample(100, 1), sample(60, 2)).count == 60
    with raises_code("evaluate.too_few_for_distance", count=19, min_count=20):
        measure_distance(sample(100, 1), sample(19, 2))


def test_a_closer_model_is_significantly_closer_and_equal_models_are_not():
    held_out, near, far, other = sample(400, 1), sample(400, 2), sample(400, 3, 0.8), sample(400, 4)
    assert compare_distances(far, near, held_out).high < 0
    assert compare_distances(near, far, held_out).low > 0
    assert not compare_distances(near, other, held_out).excludes(0)


def test_psnr_is_the_closed_form():
    flat = [np.full((4, 4, 3), 100, np.uint8)]
    off = [np.full((4, 4, 3), 110, np.uint8)]
    assert compute_psnr(flat, off) == pytest.approx(10 * np.log10(255**2 / 100))
    assert compute_psnr(flat, flat) == 100
