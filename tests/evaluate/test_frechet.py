import numpy as np
import pytest

from genloom.metrics.frechet import frechet_distance, kernel_distance


def drawn(count: int, seed: int, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width))


def whitened(x: np.ndarray) -> np.ndarray:
    """The same points moved so that their mean is exactly zero and their covariance exactly the unit matrix."""
    x = x - x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


def test_the_distance_of_two_normal_distributions_is_the_closed_form():
    x, y = whitened(drawn(300, 1)), whitened(drawn(200, 2))
    spread = np.array([1.0, 2, 3, 0.5, 1, 4])
    shift = np.arange(6.0)
    # Of commuting covariances: |m1 - m2|² + sum of (s1 - s2)².
    expected = np.square(shift).sum() + np.square(spread - 1).sum()
    assert frechet_distance(x, y * spread + shift) == pytest.approx(expected, rel=1e-9)


def test_covariances_that_do_not_commute_agree_with_the_root_of_their_product():
    x, y = drawn(500, 3) @ drawn(6, 4), drawn(400, 5) @ drawn(6, 6)
    one, other = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.linalg.eigvals(one @ other).astype(complex)).real.pooled_proj()
    expected = np.square(x.mean(0) - y.mean(0)).pooled_proj() + np.trace(one) + np.trace(other) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_fewer_pictures_than_features_give_the_same_as_their_covariances_say():
    x, y = drawn(8, 7, 40), drawn(11, 8, 40)
    one, other = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.maximum(np.linalg.eigvals(one @ other).real, 0)).pooled_proj()
    expected = np.square(x.mean(0) - y.mean(0)).pooled_proj() + np.trace(one) + np.trace(other) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_a_set_lies_nowhere_but_at_itself_and_order_does_not_count():
    x, y = drawn(50, 9), drawn(60, 10) + 1
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)


def test_one_picture_has_no_covariance():
    with pytest.raises(ValueError, match="two pictures"):
        frechet_distance(drawn(1, 0), drawn(5, 0))


def test_the_kernel_distance_is_unbiased_where_the_frechet_distance_is_not():
    rng = np.random.default_rng(0)
    few = [(rng.standard_normal((12, 5)), rng.standard_normal((12, 5))) for _ in range(200)]
    found = [kernel_distance(x, y) for x, y in few]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    assert np.mean([frechet_distance(x, y) for x, y in few]) > 1


def test_the_kernel_distance_of_constants_is_that_of_their_kernels():
    zero, one = np.zeros((3, 4)), np.ones((3, 4))
    assert kernel_distance(zero, one) == pytest.approx(1 + 8 - 2)  # (0 + 1)³ + (1 + 1)³ - 2 (0 + 1)³
