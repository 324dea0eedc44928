"""The density filter, and the Heaviside projection that makes filtered densities black and white.

Bourdin 2001; Bruns and Tortorelli 2001; Guest et al. 2004; Wang, Lazarov and Sigmund 2011 (equation 10).
"""

from functools import lru_cache
from itertools import product
from math import ceil

import numpy as np
import scipy.sparse as sparse


@lru_cache(maxsize=16)
def build_filter(shape: tuple[int, ...], radius: float) -> sparse.csr_array:
    """Return the matrix whose rows average the elements within `radius` elements, with weights that fall linearly."""
    reach = ceil(radius) - 1
    numbers = np.arange(np.prod(shape)).reshape(shape)
    rows, columns, weights = [], [], []
    for offset in product(range(-reach, reach + 1), repeat=len(shape)):
        weight = radius - float(np.hypot.reduce(np.array(offset, float))) if any(offset) else radius
        if weight <= 0:
            continue
        here = tuple(slice(max(0, -d), size - max(0, d)) for d, size in zip(offset, shape, strict=True))
        there = tuple(slice(max(0, d), size - max(0, -d)) for d, size in zip(offset, shape, strict=True))
        rows.append(numbers[here].ravel())
        columns.append(numbers[there].ravel())
        weights.append(np.full(rows[-1].size, weight))
    indices = np.concatenate(rows), np.concatenate(columns)
    matrix = sparse.coo_array((np.concatenate(weights), indices), shape=(numbers.size, numbers.size)).tocsr()
    return (sparse.diags_array(1 / matrix.sum(1)) @ matrix).tocsr()


def project_density(density: np.ndarray, sharpness: float, threshold: float = 0.5) -> np.ndarray:
    """Return the densities moved towards 0 and 1, from 0 for 0 to 1 for 1; sharpness 0 changes nothing."""
    if sharpness == 0:
        return density
    low, high = np.tanh(sharpness * threshold), np.tanh(sharpness * (1 - threshold))
    return np.clip((low + np.tanh(sharpness * (density - threshold))) / (low + high), 0, 1)  # rounding leaves the range


def differentiate_projection(density: np.ndarray, sharpness: float, threshold: float = 0.5) -> np.ndarray:
    """Return the derivative of `project_density` by the density."""
    if sharpness == 0:
        return np.ones_like(density)
    low, high = np.tanh(sharpness * threshold), np.tanh(sharpness * (1 - threshold))
    return sharpness * (1 - np.tanh(sharpness * (density - threshold)) ** 2) / (low + high)
