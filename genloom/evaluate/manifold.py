"""How much of what a model makes looks real, and how much of what is real it makes: by nearest neighbours in features.

Shape letters: N, M pictures, D features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


@dataclass(frozen=True)
class Manifold:
    """Shares between 0 and 1, but for density, which lies about 1 where both sets are of one distribution."""

    precision: float  # made pictures within the real ones' neighbourhoods (Kynkäänniemi et al. 2019, k = 3)
    recall: float  # real pictures within the made ones' neighbourhoods
    density: float  # real neighbourhoods that a made picture lies in, over k (Naeem et al. 2020, k = 5)
    coverage: float  # real pictures with a made one in their neighbourhood


def manifold(real_ND: Features, made_MD: Features, near: int = 3, dense: int = 5) -> Manifold:
    """Compares two sets; `near` is k of precision and recall, `dense` that of density and coverage.

    Raises ValueError where a set holds fewer than k + 1 pictures, which have no k-th neighbour.
    """
    most = max(near, dense)
    if min(len(real_ND), len(made_MD)) <= most:
        raise ValueError(f"Precision and coverage need more than {most} pictures on either side. Ask for more.")
    apart_NM, within_N, made_within_M = distances(real_ND, made_MD), distances(real_ND), distances(made_MD)
    real_reach = _reach(within_N, near)
    inside = apart_NM <= _reach(within_N, dense)[:, None]
    return Manifold(
        precision=float((apart_NM <= real_reach[:, None]).any(0).mean()),
        recall=float((apart_NM <= _reach(made_within_M, near)[None, :]).any(1).mean()),
        density=float(inside.sum(0).mean() / dense),
        coverage=float(inside.any(1).mean()),
    )


def distances(one_ND: Features, other_MD: Features | None = None) -> NDArray[np.float64]:
    """Squared Euclidean distances, N M; of a set to itself, a picture lies infinitely far from itself."""
    one = np.asarray(one_ND, np.float64)
    other = one if other_MD is None else np.asarray(other_MD, np.float64)
    squares = np.square(one).sum(1)[:, None] + np.square(other).sum(1)[None, :] - 2 * one @ other.T
    found = np.maximum(squares, 0.0)
    if other_MD is None:
        np.fill_diagonal(found, np.inf)
    return found


def _reach(apart_NN: NDArray[np.float64], neighbour: int) -> NDArray[np.float64]:
    """The distance from each picture to its k-th nearest of the same set."""
    return np.partition(apart_NN, neighbour - 1, axis=1)[:, neighbour - 1]
