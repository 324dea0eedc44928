import numpy as np
import pytest

from genloom.metrics.precision_recall import compute_squared_distances, measure_precision_recall
from tests.errors import raises_code


def sample(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8))


def test_a_set_compared_with_itself_is_precise_and_covered():
    metrics = measure_precision_recall(sample(60, 1), sample(60, 1))
    assert (metrics.precision, metrics.recall, metrics.coverage) == (1, 1, 1)


def test_sets_far_apart_share_nothing():
    metrics = measure_precision_recall(sample(60, 1), sample(60, 2) + 100)
    assert (metrics.precision, metrics.recall, metrics.density, metrics.coverage) == (0, 0, 0, 0)


def test_mode_collapse_is_precise_and_covers_little():
    real = sample(200, 1)
    centre = real.mean(0)
    metrics = measure_precision_recall(real, centre + 0.01 * sample(200, 2))
    assert metrics.precision == 1
    assert metrics.recall == 0
    assert metrics.coverage < 0.7


def test_density_is_about_one_for_two_samples_of_one_distribution():
    assert measure_precision_recall(sample(800, 1), sample(800, 2)).density == pytest.approx(1, abs=0.1)


def test_one_outlier_among_the_real_ones_does_not_make_noise_dense():
    real = np.concatenate([sample(100, 1), np.full((1, 8), 30.0)])
    metrics = measure_precision_recall(real, sample(100, 2) * 8)
    assert metrics.precision > 3 * metrics.density  # its wide neighbourhood holds them all, and counts once


def test_distances_are_euclidean_and_exclude_oneself():
    x, y = sample(5, 1), sample(4, 2)
    assert np.allclose(compute_squared_distances(x, y), np.square(x[:, None] - y[None]).sum(-1))
    assert np.isinf(np.diag(compute_squared_distances(x))).all()


def test_too_few_samples_have_no_neighbourhoods():
    with raises_code("metrics.too_few_for_precision", count=5, min_count=6):
        measure_precision_recall(sample(5, 1), sample(60, 2))
