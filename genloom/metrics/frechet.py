"""Distances between two sets of outputs in features: Fréchet distance, and kernel distance for small sets.

Shape letters: N, M outputs, D features.
"""

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError

Features = NDArray[np.floating]


def frechet_distance(a_ND: Features, b_MD: Features) -> float:
    """Return the squared Fréchet distance between normal distributions fitted to both sets (Heusel et al. 2017).

    It is exact and needs no matrix square root: the trace of the geometric mean of the covariances is the sum of the
    singular values of the product of their factors. It is biased upwards for small sets, so only equal counts are
    comparable.
    """
    count = min(len(a_ND), len(b_MD))
    if count < 2:
        raise GenloomError("metrics.too_few_for_frechet", count=count)
    (mean_a, factor_a), (mean_b, factor_b) = _compute_moments(a_ND), _compute_moments(b_MD)
    shared_trace = np.linalg.svd(factor_a @ factor_b.T, compute_uv=False).sum()
    mean_gap = np.square(mean_a - mean_b).sum()
    return float(max(mean_gap + np.square(factor_a).sum() + np.square(factor_b).sum() - 2 * shared_trace, 0.0))


def kernel_distance(a_ND: Features, b_MD: Features) -> float:
    """Return the unbiased squared MMD with the cubic kernel (x·y / D + 1)³ (Bińkowski et al. 2018: KID).

    Its expectation is zero for two sets from one distribution, at any size, so it can be negative.
    """

    def within_set(a: Features) -> float:
        values = polynomial_kernel(a, a)
        return float((values.sum() - np.trace(values)) / (len(a) * (len(a) - 1)))

    return within_set(a_ND) + within_set(b_MD) - 2 * float(polynomial_kernel(a_ND, b_MD).mean())


def polynomial_kernel(a_ND: Features, b_MD: Features) -> NDArray[np.float64]:
    """Return the cubic kernel of every pair, N M."""
    a_features, b_features = (np.asarray(x, np.float64) for x in (a_ND, b_MD))
    return (a_features @ b_features.T / a_features.shape[1] + 1) ** 3


def _compute_moments(x_ND: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean, and a factor F of the covariance FᵀF with as few rows as possible."""
    x = np.asarray(x_ND, np.float64)
    centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return x.mean(0), np.asarray(np.linalg.qr(centred, mode="r")) if len(x) > x.shape[1] else centred
