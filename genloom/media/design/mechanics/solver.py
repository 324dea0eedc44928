"""The choice of the method that solves a problem's equations."""

from typing import Protocol

import numpy as np

from genloom.media.design.mechanics.direct_solver import DirectSolver
from genloom.media.design.mechanics.problem import Problem


class Solver(Protocol):
    """The equations of one problem, for a stiffness factor of 1 N/m."""

    def factorize(self, moduli_E: np.ndarray, /) -> None:
        """Prepare for the moduli of the elements, in C order; 1 is solid."""

    def solve(self, forces: np.ndarray, /) -> np.ndarray:
        """Return the displacements, as the forces [cases, *nodes, axes]."""


def build_solver(problem: Problem) -> Solver:
    """Return the fastest solver for a problem's grid."""
    return DirectSolver(problem.fixed, problem.poisson_ratio)
