"""A quick draft of a design: a few steps of optimization on half the grid, and one on the whole grid after them.

The densities of early steps tell a network more about the last ones than the stress of the domain without holes does
(Sosnovik and Oseledets 2017, "Neural networks for topology optimization"; eCNNTO 2026), and half the grid costs a
quarter. On the whole grid the strain energy says where this draft lacks material.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError

from genloom.media.design.mechanics.design_variables import OptimizationOptions
from genloom.media.design.mechanics.interpolation import differentiate_moduli
from genloom.media.design.mechanics.optimization import Stepper
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem
from genloom.media.design.mechanics.resampling import resample_density, resample_problem
from genloom.media.design.mechanics.solver import build_solver

COARSE_STEPS = 8
COARSE_OPTIONS = OptimizationOptions(filter_radius=1.2, move=0.3)  # members of half the grid are twice as wide
FINE_OPTIONS = OptimizationOptions(move=0.4)
LEAST, MOST = 0.02, 0.98  # of the variables on the whole grid: what is 0 would stay 0


@dataclass(frozen=True, eq=False)
class QuickDraft:
    """A grey density on the way to a design, what it carries, and the density of the step after it: all [*shape]."""

    density: np.ndarray  # of half the grid
    energy: np.ndarray  # strain energy of each element per unit of its modulus, in any unit; 0 where it must be empty
    next_density: np.ndarray


def draft_quickly(problem: Problem) -> QuickDraft:
    """Return the quick draft of a problem that `check_problem` accepts."""
    start = resample_density(optimize_coarsely(problem), problem.shape)
    start = np.where(problem.passive == SOLID, 1.0, np.where(problem.passive == EMPTY, 0.0, start))
    stepper = Stepper(problem, FINE_OPTIONS, build_solver(problem))
    variables = stepper.design.build_start(np.clip(start, LEAST, MOST))
    density, _, gradient = stepper.evaluate_variables(variables, 0)
    slope = differentiate_moduli(density, FINE_OPTIONS.penalty)
    energy = np.where(slope > 0, -gradient / np.where(slope > 0, slope, 1), 0.0)
    variables = stepper.step_variables(variables, density, gradient, 0)
    return QuickDraft(
        start, energy.reshape(problem.shape), stepper.design.build_density(variables, 0).reshape(problem.shape)
    )


def optimize_coarsely(problem: Problem) -> np.ndarray:
    """Return the density of a few steps on half the grid; a uniform one if its nodes cannot hold the part."""
    coarse = resample_problem(problem, tuple(max(side // 2, 2) for side in problem.shape))
    stepper = Stepper(coarse, COARSE_OPTIONS, build_solver(coarse))
    variables = uniform = stepper.design.build_start(None)
    try:
        for _ in range(COARSE_STEPS):
            density, _, gradient = stepper.evaluate_variables(variables, 0)
            variables = stepper.step_variables(variables, density, gradient, 0)
    except LinAlgError:
        variables = uniform
    if not np.isfinite(variables).all():
        variables = uniform
    return stepper.design.build_density(variables, 0).reshape(coarse.shape)
