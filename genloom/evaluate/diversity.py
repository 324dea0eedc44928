"""How unlike each other a model's pictures are, in features.

Shape letters: N pictures, D features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Diversity:
    count: int
    distance: float  # mean cosine distance of two different pictures: 0 all alike, 1 nothing in common
    vendi: float  # how many wholly different pictures these are worth, from 1 to their number (Friedman and Dieng 2023)


def diversity(x_ND: NDArray[np.floating]) -> Diversity:
    """Measures a set of pictures by the cosines of their features; raises ValueError for fewer than two.

    The Vendi score is the exponential of the entropy of the eigenvalues of the matrix of likenesses over N. It grows
    with N, so that only sets of one size are comparable.
    """
    count = len(x_ND)
    if count < 2:
        raise ValueError("Diversity needs at least two pictures.")
    x = np.asarray(x_ND, np.float64)
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    alike = unit @ unit.T
    values = np.linalg.eigvalsh(alike / count)
    values = values[values > 1e-12]
    apart = 1 - (alike.sum() - np.trace(alike)) / (count * (count - 1))
    return Diversity(count, float(apart), float(np.exp(-(values * np.log(values)).sum())))
