"""A problem as arrays on the grid of its elements, for a network that reads it beside a density.

The physical fields of the part without holes come first in importance (TopoDiff, Mazé and Ahmed 2023): material is
needed where it would carry much. All arrays are free of units, and of the size of the forces, on which the best design
does not depend.
"""

import numpy as np

from genloom.media.design.mechanics.analysis import compute_physical_fields
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem

LEAST_ENERGY, MOST_ENERGY = 1e-3, 1e3  # in units of the mean; those near loads and supports depend on the mesh
MOST_STRESS = 4.0  # in units of the mean


def count_channels(axes: int) -> int:
    """Return the number of arrays of `build_fields`."""
    return 2 * axes + 5


def build_fields(problem: Problem) -> np.ndarray:
    """Return float32 [channels, *shape]: supports and loads by axis, must be solid, must be empty, volume, then the
    strain energy (its logarithm) and the von Mises stress of the whole domain, in units of their means.
    """
    stress, energy = compute_physical_fields(problem).astype(np.float64)
    is_inside = problem.passive != EMPTY
    fields = [
        *2 * average_nodes(problem.fixed.astype(np.float64)),
        *2**problem.axes * average_nodes(combine_forces(problem.forces)),  # a force at a corner: 1 in one element
        problem.passive == SOLID,
        problem.passive == EMPTY,
        np.full(problem.shape, 2 * problem.volume),
        is_inside * np.log10((energy / compute_mean(energy, is_inside)).clip(LEAST_ENERGY, MOST_ENERGY)),
        is_inside * (stress / compute_mean(stress, is_inside)).clip(0, MOST_STRESS) / 2,
    ]
    return np.stack([np.asarray(field, np.float32) for field in fields])


def combine_forces(forces: np.ndarray) -> np.ndarray:
    """Return one force for each node [*nodes, axes], at most 1: the length over all cases, the sign of the largest."""
    largest = np.take_along_axis(forces, np.abs(forces).argmax(0)[None], 0)[0]
    combined = np.sign(largest) * np.sqrt((forces**2).sum(0))
    return combined / max(float(np.abs(combined).max(initial=0.0)), np.finfo(np.float64).tiny)


def average_nodes(values: np.ndarray) -> np.ndarray:
    """Return values of nodes [*nodes, axes] as means over the corners of each element, [axes, *shape]."""
    means = np.moveaxis(values, -1, 0)
    for axis in range(1, means.ndim):
        length = means.shape[axis] - 1
        means = (means.take(range(length), axis) + means.take(range(1, length + 1), axis)) / 2
    return means


def compute_mean(values: np.ndarray, is_inside: np.ndarray) -> float:
    """Return the mean over the elements inside; of zeros, a number to divide them by."""
    return float(values[is_inside].mean()) or 1.0
