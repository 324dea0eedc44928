"""Precision, recall, density and coverage of generated outputs, by nearest neighbours in features.

Shape letters: N, M outputs, D features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError

Features = NDArray[np.floating]


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares from 0 to 1, except density, which is about 1 if both sets have the same distribution."""

    precision: float  # generated outputs within the neighbourhoods of real ones (Kynkäänniemi et al. 2019, k = 3)
    recall: float  # real outputs within the neighbourhoods of generated ones
    density: float  # number of real neighbourhoods that hold a generated output, over k (Naeem et al. 2020, k = 5)
    coverage: float  # real outputs whose neighbourhood holds a generated one


def measure_precision_recall(
    real_ND: Features, generated_MD: Features, k_precision_recall: int = 3, k_density_coverage: int = 5
) -> PrecisionRecall:
    """Compare a generated set with a real one.

    Raises ValueError if a set has fewer than k + 1 members: they have no k-th neighbour.
    """
    max_k = max(k_precision_recall, k_density_coverage)
    if (count := min(len(real_ND), len(generated_MD))) <= max_k:
        raise GenloomError("metrics.too_few_for_precision", count=count, min_count=max_k + 1)
    distances_NM = compute_squared_distances(real_ND, generated_MD)
    real_distances_NN = compute_squared_distances(real_ND)
    generated_distances_MM = compute_squared_distances(generated_MD)
    real_radii_N = _compute_radii(real_distances_NN, k_precision_recall)
    generated_radii_M = _compute_radii(generated_distances_MM, k_precision_recall)
    is_inside_NM = distances_NM <= _compute_radii(real_distances_NN, k_density_coverage)[:, None]
    return PrecisionRecall(
        precision=float((distances_NM <= real_radii_N[:, None]).any(0).mean()),
        recall=float((distances_NM <= generated_radii_M[None, :]).any(1).mean()),
        density=float(is_inside_NM.sum(0).mean() / k_density_coverage),
        coverage=float(is_inside_NM.any(1).mean()),
    )


def compute_squared_distances(a_ND: Features, b_MD: Features | None = None) -> NDArray[np.float64]:
    """Return squared Euclidean distances, N M; without `b_MD` those within the set, infinite on the diagonal."""
    a = np.asarray(a_ND, np.float64)
    b = a if b_MD is None else np.asarray(b_MD, np.float64)
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None, :] - 2 * a @ b.T
    distances_NM = np.maximum(squares, 0.0)
    if b_MD is None:
        np.fill_diagonal(distances_NM, np.inf)
    return distances_NM


def _compute_radii(distances_NN: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the distance from each member to its k-th nearest neighbour in the same set."""
    return np.partition(distances_NN, k - 1, axis=1)[:, k - 1]
