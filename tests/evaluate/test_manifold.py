import numpy as np
import pytest

from genloom.metrics.precision_recall import compute_squared_distances, measure_precision_recall


def drawn(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8))


def test_a_set_beside_itself_is_wholly_precise_and_covered():
    found = measure_precision_recall(drawn(60, 1), drawn(60, 1))
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_sets_far_apart_share_nothing():
    found = measure_precision_recall(drawn(60, 1), drawn(60, 2) + 100)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_a_model_that_makes_one_thing_is_precise_and_covers_little():
    real = drawn(200, 1)
    centre = real.mean(0)
    found = measure_precision_recall(real, centre + 0.01 * drawn(200, 2))
    assert found.precision == 1
    assert found.recall == 0
    assert found.coverage < 0.7


def test_density_is_about_one_for_two_draws_of_one_distribution():
    assert measure_precision_recall(drawn(800, 1), drawn(800, 2)).density == pytest.approx(1, abs=0.1)


def test_one_outlier_among_the_real_ones_does_not_make_noise_dense():
    real = np.concatenate([drawn(100, 1), np.full((1, 8), 30.0)])
    found = measure_precision_recall(real, drawn(100, 2) * 8)
    assert found.precision > 3 * found.density  # its wide neighbourhood holds them all, and counts once


def test_distances_are_euclidean_and_leave_oneself_out():
    x, y = drawn(5, 1), drawn(4, 2)
    assert np.allclose(compute_squared_distances(x, y), np.square(x[:, None] - y[None]).pooled_proj(-1))
    assert np.isinf(np.diag(compute_squared_distances(x))).all()


def test_too_few_pictures_have_no_neighbourhoods():
    with pytest.raises(ValueError, match="more than 5"):
        measure_precision_recall(drawn(5, 1), drawn(60, 2))
