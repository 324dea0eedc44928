"""The choice of the method that solves a problem's equations."""

from typing import Protocol

import numpy as np

from genloom.media.design.mechanics.direct_solver import DirectSolver, measure_band
from genloom.media.design.mechanics.multigrid import MultigridSolver
from genloom.media.design.mechanics.problem import Problem


class Solver(Protocol):
    """The equations of one problem, for a stiffness factor of 1 N/m."""

    def factorize(self, moduli_E: np.ndarray, /) -> None:
        """Prepare for the moduli of the elements, in C order; 1 is solid."""

    def solve(self, forces: np.ndarray, /) -> np.ndarray:
        """Return the displacements, as the forces [cases, *nodes, axes]."""


MAX_BAND = 420  # of a matrix that is factorized; the work grows with its square
MAX_BAND_ENTRIES = 60_000_000  # 480 MB


def build_solver(problem: Problem) -> Solver:
    """Return the fastest solver for a problem's grid: a direct one where its band is narrow, else multigrid."""
    size, band = measure_band(problem.shape)
    if band <= MAX_BAND and size * (band + 1) <= MAX_BAND_ENTRIES:
        return DirectSolver(problem.fixed, problem.poisson_ratio)
    return MultigridSolver(problem.fixed, problem.poisson_ratio)
