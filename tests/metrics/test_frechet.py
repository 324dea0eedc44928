import numpy as np
import pytest

from genloom.metrics.frechet import frechet_distance, kernel_distance
from tests.errors import raises_code


def sample(count: int, seed: int, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width))


def whiten(x: np.ndarray) -> np.ndarray:
    """Transform points to exactly zero mean and unit covariance."""
    x = x - x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


def test_the_distance_of_two_normal_distributions_is_the_closed_form():
    x, y = whiten(sample(300, 1)), whiten(sample(200, 2))
    spread = np.array([1.0, 2, 3, 0.5, 1, 4])
    shift = np.arange(6.0)
    # Of commuting covariances: |m1 - m2|² + sum of (s1 - s2)².
    expected = np.square(shift).sum() + np.square(spread - 1).sum()
    assert frechet_distance(x, y * spread + shift) == pytest.approx(expected, rel=1e-9)


def test_covariances_that_do_not_commute_agree_with_the_root_of_their_product():
    x, y = sample(500, 3) @ sample(6, 4), sample(400, 5) @ sample(6, 6)
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.linalg.eigvals(cov_x @ cov_y).astype(complex)).real.sum()
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_fewer_samples_than_features_agree_with_the_root_of_their_product():
    x, y = sample(8, 7, 40), sample(11, 8, 40)
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.maximum(np.linalg.eigvals(cov_x @ cov_y).real, 0)).sum()
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_the_distance_is_symmetric_and_zero_to_itself_in_any_order():
    x, y = sample(50, 9), sample(60, 10) + 1
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)


def test_one_sample_has_no_covariance():
    with raises_code("metrics.too_few_for_frechet", count=1):
        frechet_distance(sample(1, 0), sample(5, 0))


def test_the_kernel_distance_is_unbiased_where_the_frechet_distance_is_not():
    rng = np.random.default_rng(0)
    small_sets = [(rng.standard_normal((12, 5)), rng.standard_normal((12, 5))) for _ in range(200)]
    distances = [kernel_distance(x, y) for x, y in small_sets]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(len(distances))
    assert np.mean([frechet_distance(x, y) for x, y in small_sets]) > 1


def test_the_kernel_distance_of_constants_is_that_of_their_kernels():
    zero, one = np.zeros((3, 4)), np.ones((3, 4))
    assert kernel_distance(zero, one) == pytest.approx(1 + 8 - 2)  # (0 + 1)³ + (1 + 1)³ - 2 (0 + 1)³
