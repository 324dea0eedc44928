"""Diversity of a set of outputs, measured in features.

Shape letters: N outputs, D features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError


@dataclass(frozen=True)
class Diversity:
    count: int
    mean_distance: float  # mean cosine distance of two different outputs: 0 if all are equal, 1 if nothing is shared
    vendi_score: float  # effective number of different outputs, from 1 to `count` (Friedman and Dieng 2023)


def measure_diversity(x_ND: NDArray[np.floating]) -> Diversity:
    """Measure the diversity of a set by the cosines between the features of its members; ValueError for fewer than two.

    The Vendi score is the exponential of the entropy of the eigenvalues of the similarity matrix divided by N. It grows
    with N, so only sets of equal size are comparable.
    """
    count = len(x_ND)
    if count < 2:
        raise GenloomError("metrics.too_few_for_diversity", count=count)
    x = np.asarray(x_ND, np.float64)
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    similarities = unit @ unit.T
    eigenvalues = np.linalg.eigvalsh(similarities / count)
    eigenvalues = eigenvalues[eigenvalues > 1e-12]
    mean_distance = 1 - (similarities.sum() - np.trace(similarities)) / (count * (count - 1))
    return Diversity(count, float(mean_distance), float(np.exp(-(eigenvalues * np.log(eigenvalues)).sum())))
