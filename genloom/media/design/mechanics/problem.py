"""A problem of mechanics on a grid: where a part is held and loaded, and how much material it may use.

The grid has two axes (y, x) or three (z, y, x). Row 0 of y is the top, as in a picture; x and z grow with their index.
Displacements and forces have the components x, y(, z), y upward. Elements are squares or cubes of `element_size`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

FREE, SOLID, EMPTY = 0, 1, -1  # the values of Problem.passive


@dataclass(frozen=True, eq=False)
class Problem:
    """Supports, loads, passive regions and the volume of a part; SI units, or all of them 1."""

    fixed: np.ndarray  # bool [*nodes, axes]: the components of the displacement that are held at 0
    forces: np.ndarray  # float64 [cases, *nodes, axes], N: one load case a row
    passive: np.ndarray  # int8 [*shape]: FREE, SOLID (must be solid) or EMPTY (must be empty)
    volume: float  # fraction of the whole grid that may be solid, passive regions included
    elastic_modulus: float = field(default=1.0, kw_only=True)  # Pa
    poisson_ratio: float = field(default=0.3, kw_only=True)
    element_size: float = field(default=1.0, kw_only=True)  # m
    thickness: float = field(default=1.0, kw_only=True)  # m, of a plane part; unused with three axes

    @property
    def shape(self) -> tuple[int, ...]:
        """The elements on each axis: (ny, nx) or (nz, ny, nx)."""
        return self.passive.shape

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes on each axis: one more than the elements."""
        return count_nodes(self.shape)

    @property
    def axes(self) -> int:
        return self.passive.ndim

    @property
    def cases(self) -> int:
        return len(self.forces)

    @property
    def stiffness(self) -> float:
        """The factor of the element matrix of unit size, thickness and elastic modulus, N/m."""
        return self.elastic_modulus * (self.thickness if self.axes == 2 else self.element_size)


def count_nodes(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the nodes on each axis of a grid of elements."""
    return tuple(size + 1 for size in shape)


def build_empty_problem(shape: Sequence[int], volume: float, cases: int = 1) -> Problem:
    """Return a problem without supports and loads, whose arrays the caller fills."""
    nodes, axes = count_nodes(shape), len(shape)
    return Problem(
        np.zeros((*nodes, axes), bool), np.zeros((cases, *nodes, axes)), np.zeros(tuple(shape), np.int8), volume
    )


def limit_volume(problem: Problem) -> tuple[float, float]:
    """Return the least and the greatest volume fraction that the passive regions allow."""
    size = prod(problem.shape)
    return np.count_nonzero(problem.passive == SOLID) / size, np.count_nonzero(problem.passive != EMPTY) / size
