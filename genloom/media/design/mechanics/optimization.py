"""Topology optimization: the distribution of material that makes a part stiffest, by SIMP and optimality criteria.

Densities are filtered, projected towards black and white ever more sharply, and penalized (Bendsøe and Sigmund 2003;
Andreassen et al. 2011, whose 88 lines `PLAIN` follows). `optimize` yields the designs; who calls it shows and stops.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from genloom.media.design.mechanics.analysis import compute_moduli, compute_unit_energies, differentiate_moduli
from genloom.media.design.mechanics.filters import build_filter, differentiate_projection, project
from genloom.media.design.mechanics.optimality import update_densities
from genloom.media.design.mechanics.problem import EMPTY, FREE, SOLID, Problem
from genloom.media.design.mechanics.solver import Solver, build_solver


@dataclass(frozen=True)
class Stage:
    """A part of an optimization: at most so many steps at one sharpness of the projection."""

    sharpness: float  # 0: no projection
    steps: int
    tolerance: float = 0.01  # it ends when no variable changes by more


@dataclass(frozen=True)
class OptimizationOptions:
    """The settings of an optimization; lengths in elements."""

    filter_radius: float = 1.5
    penalty: float = 3.0
    stages: tuple[Stage, ...] = field(
        default=(Stage(0, 30, 0.05), Stage(2, 10, 0.05), Stage(4, 10, 0.05), Stage(8, 10, 0.05), Stage(16, 10, 0.05))
    )
    move: float = 0.2  # of a variable in one step, at most
    symmetry: tuple[str, ...] = ()  # the axes, "x", "y" or "z", along which a design is mirrored about its middle


PLAIN = OptimizationOptions(stages=(Stage(0, 200, 0.01),))  # densities stay grey, as the published compliances are


@dataclass(frozen=True, eq=False)
class Step:
    """A design on the way, and its values."""

    number: int  # from 0, the start
    density: np.ndarray  # float64 [*shape]
    compliance: float  # the sum over the load cases, J
    volume: float  # fraction
    change: float  # the greatest of the variables in the step that led here
    sharpness: float


class Design:
    """The variables of an optimization, and the densities that they stand for."""

    def __init__(self, problem: Problem, options: OptimizationOptions) -> None:
        self.problem, self.options = problem, options
        self.filter = build_filter(problem.shape, options.filter_radius)
        passive = problem.passive.ravel()
        self.is_free, self.is_solid, self.is_empty = passive == FREE, passive == SOLID, passive == EMPTY

    def build_start(self, start: np.ndarray | None) -> np.ndarray:
        """Return the variables of a density, or of a uniform one."""
        num_free, size = max(np.count_nonzero(self.is_free), 1), self.is_free.size
        uniform = np.clip((self.problem.volume * size - np.count_nonzero(self.is_solid)) / num_free, 0, 1)
        variables = np.full(size, uniform) if start is None else start.ravel().astype(float)
        return self.mirror_values(self.set_passive(variables))

    def set_passive(self, values: np.ndarray) -> np.ndarray:
        """Return values that are 1 and 0 where the problem demands it."""
        return np.where(self.is_free, values, self.is_solid.astype(float))

    def mirror_values(self, values: np.ndarray) -> np.ndarray:
        """Return values that are the same on both sides of the planes of symmetry."""
        for name in self.options.symmetry:
            axis = self.problem.axes - 1 - "xyz".index(name)
            grid = values.reshape(self.problem.shape)
            values = ((grid + np.flip(grid, axis)) / 2).ravel()
        return values

    def build_density(self, variables: np.ndarray, sharpness: float) -> np.ndarray:
        """Return the densities, flat."""
        return self.set_passive(project(self.filter @ variables, sharpness))

    def pull_back(self, gradient: np.ndarray, variables: np.ndarray, sharpness: float) -> np.ndarray:
        """Return the gradient by the variables of a gradient by the densities."""
        slope = differentiate_projection(self.filter @ variables, sharpness) * self.is_free
        return self.mirror_values(self.filter.T @ (gradient * slope)) * self.is_free


def optimize(
    problem: Problem,
    options: OptimizationOptions | None = None,
    *,
    start: np.ndarray | None = None,
    solver: Solver | None = None,
) -> Iterator[Step]:
    """Yield the designs of an optimization, the start first; the last one is the result.

    `start`: densities [*shape] from which it begins, instead of uniform ones.
    """
    options = options or OptimizationOptions()
    design, solver = Design(problem, options), solver or build_solver(problem)
    variables, number, change = design.build_start(start), 0, 1.0
    last = options.stages[-1]
    for stage in options.stages:
        for index in range(stage.steps + 1):
            density = design.build_density(variables, stage.sharpness)
            compliance, gradient = differentiate_compliance(problem, solver, density, options.penalty)
            yield Step(
                number, density.reshape(problem.shape), compliance, float(density.mean()), change, stage.sharpness
            )
            if index == stage.steps or (index and change <= stage.tolerance):
                break
            previous = variables
            variables = step_variables(design, variables, gradient, stage.sharpness)
            change, number = float(np.abs(variables - previous).max()), number + 1
    assert last.steps > 0, "the last stage makes a step"


def step_variables(design: Design, variables: np.ndarray, gradient: np.ndarray, sharpness: float) -> np.ndarray:
    """Return the variables after one step of the optimality criteria."""
    low = design.set_passive(np.maximum(variables - design.options.move, 0))
    high = design.set_passive(np.minimum(variables + design.options.move, 1))
    volume_gradient = np.full(variables.size, 1 / variables.size)
    return update_densities(
        variables,
        design.pull_back(gradient, variables, sharpness),
        design.pull_back(volume_gradient, variables, sharpness),
        lambda values: float(design.build_density(values, sharpness).mean()),
        design.problem.volume,
        bounds=(low, high),
    )


def differentiate_compliance(
    problem: Problem, solver: Solver, density: np.ndarray, penalty: float
) -> tuple[float, np.ndarray]:
    """Return the compliance of flat densities, and its gradient by them."""
    solver.factorize(compute_moduli(density, penalty))
    displacement = solver.solve(problem.forces)
    energies = compute_unit_energies(problem, displacement).sum(0)
    compliance = float((displacement * problem.forces).sum()) / problem.stiffness
    return compliance, -differentiate_moduli(density, penalty) * energies / problem.stiffness
