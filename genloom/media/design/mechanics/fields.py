"""A problem as arrays on the grid of its elements, for a network that reads it beside a density.

Its physics come first in importance (TopoDiff, Mazé and Ahmed 2023): material is needed where it would carry much. Here
they are those of a quick draft instead of the part without holes. All arrays are free of units, and of the size of the
forces, on which the best design does not depend.
"""

import numpy as np

from genloom.media.design.mechanics.drafts import draft_quickly
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem
from genloom.media.design.mechanics.turning import build_turn_matrix, turn_array

LEAST_ENERGY, MOST_ENERGY = 1e-3, 1e3  # in units of the median; those near loads and supports depend on the mesh


def count_channels(axes: int) -> int:
    """Return the number of arrays of `build_fields`."""
    return 2 * axes + 6


def build_fields(problem: Problem) -> np.ndarray:
    """Return float32 [channels, *shape]: supports and loads by axis, must be solid, must be empty, volume, then of a
    quick draft its density, the density of the step after it, and the strain energy (its logarithm, by its median).
    """
    draft = draft_quickly(problem)
    is_inside = problem.passive != EMPTY
    energy = draft.energy / compute_median(draft.energy, is_inside)
    fields = [
        *2 * average_nodes(problem.fixed.astype(np.float64)),
        *2**problem.axes * average_nodes(combine_forces(problem.forces)),  # a force at a corner: 1 in one element
        problem.passive == SOLID,
        problem.passive == EMPTY,
        np.full(problem.shape, 2 * problem.volume),
        2 * draft.density,
        2 * draft.next_density,
        is_inside * np.log10(energy.clip(LEAST_ENERGY, MOST_ENERGY)),
    ]
    return np.stack([np.asarray(field, np.float32) for field in fields])


def turn_fields(fields: np.ndarray, turn: int) -> np.ndarray:
    """Return fields of plane problems, [..., channels, *shape], as those of the problems turned."""
    turned = turn_array(fields, turn)
    matrix = build_turn_matrix(turn)
    if not matrix[0, 0]:
        turned[..., :2, :, :] = turned[..., 1::-1, :, :]  # quarter turns exchange x and y
    turned[..., 2:4, :, :] = np.einsum("ij,...jyx->...iyx", matrix.astype(fields.dtype), turned[..., 2:4, :, :])
    return turned


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


def compute_median(values: np.ndarray, is_inside: np.ndarray) -> float:
    """Return the median over the elements inside; of zeros, a number to divide them by."""
    return float(np.median(values[is_inside])) or 1.0
