"""How much of what a model makes looks real, and how much of what is real it makes: by nearest neighbours in features.

Shape letters: N, M pictures, D features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares between 0 and 1, but for density, which lies about 1 where both sets are of one distribution."""

    precision: float  # made pictures within the real ones' neighbourhoods (Kynkäänniemi et al. 2019, k = 3)
    recall: float  # real pictures within the made ones' neighbourhoods
    density: float  # real neighbourhoods that a made picture lies in, over k (Naeem et al. 2020, k = 5)
    coverage: float  # real pictures with a made one in their neighbourhood


def measure_precision_recall(
    real_ND: Features, generated_MD: Features, k_precision_recall: int = 3, k_density_coverage: int = 5
) -> PrecisionRecall:
    """Compares two sets; `near` is k of precision and recall, `dense` that of density and coverage.

    Raises ValueError where a set holds fewer than k + 1 pictures, which have no k-th neighbour.
    """
    max_k = max(k_precision_recall, k_density_coverage)
    if min(len(real_ND), len(generated_MD)) <= max_k:
        raise ValueError(f"Precision and coverage need more than {max_k} pictures on either side. Ask for more.")
    distances_NM, real_distances_NN, generated_distances_MM = (
        compute_squared_distances(real_ND, generated_MD),
        compute_squared_distances(real_ND),
        compute_squared_distances(generated_MD),
    )
    real_radii_N = _compute_radii(real_distances_NN, k_precision_recall)
    is_inside_NM = distances_NM <= _compute_radii(real_distances_NN, k_density_coverage)[:, None]
    return PrecisionRecall(
        precision=float((distances_NM <= real_radii_N[:, None]).any(0).mean()),
        recall=float(
            (distances_NM <= _compute_radii(generated_distances_MM, k_precision_recall)[None, :]).any(1).mean()
        ),
        density=float(is_inside_NM.sum(0).mean() / k_density_coverage),
        coverage=float(is_inside_NM.any(1).mean()),
    )


def compute_squared_distances(a_ND: Features, b_MD: Features | None = None) -> NDArray[np.float64]:
    """Squared Euclidean distances, N M; of a set to itself, a picture lies infinitely far from itself."""
    a_features = np.asarray(a_ND, np.float64)
    b_features = a_features if b_MD is None else np.asarray(b_MD, np.float64)
    squares = (
        np.square(a_features).sum(1)[:, None] + np.square(b_features).sum(1)[None, :] - 2 * a_features @ b_features.T
    )
    distances_NM = np.maximum(squares, 0.0)
    if b_MD is None:
        np.fill_diagonal(distances_NM, np.inf)
    return distances_NM


def _compute_radii(distances_NN: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """The distance from each picture to its k-th nearest of the same set."""
    return np.partition(distances_NN, k - 1, axis=1)[:, k - 1]
