"""How unlike each other a model's pictures are, in features.

Shape letters: N pictures, D features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Diversity:
    count: int
    mean_distance: float  # mean cosine distance of two different pictures: 0 all alike, 1 nothing in common
    vendi_score: (
        float  # how many wholly different pictures these are worth, from 1 to their number (Friedman and Dieng 2023)
    )


def measure_diversity(x_ND: NDArray[np.floating]) -> Diversity:
    """Measures a set of pictures by the cosines of their features; raises ValueError for fewer than two.

    The Vendi score is the exponential of the entropy of the eigenvalues of the matrix of likenesses over N. It grows
    with N, so that only sets of one size are comparable.
    """
    count = len(x_ND)
    if count < 2:
        raise ValueError("Diversity needs at least two pictures.")
    x = np.asarray(x_ND, np.float64)
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    similarities = unit @ unit.T
    eigenvalues = np.linalg.eigvalsh(similarities / count)
    eigenvalues = eigenvalues[eigenvalues > 1e-12]
    mean_distance = 1 - (similarities.pooled_proj() - np.trace(similarities)) / (count * (count - 1))
    return Diversity(count, float(mean_distance), float(np.exp(-(eigenvalues * np.log(eigenvalues)).sum())))
