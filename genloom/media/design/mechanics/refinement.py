"""The finish of a design that was generated: a few steps of optimization from it, then what a part must keep to.

Floating parts are removed, the volume is met exactly; the gain of every action is returned.
"""

from dataclasses import dataclass

import numpy as np

from genloom.media.design.mechanics.design_variables import OptimizationOptions
from genloom.media.design.mechanics.interpolation import compute_moduli
from genloom.media.design.mechanics.optimization import Stepper
from genloom.media.design.mechanics.parts import find_parts, fit_volume, remove_floating_parts
from genloom.media.design.mechanics.problem import Problem
from genloom.media.design.mechanics.solver import Solver, build_solver

SHARPNESS = 8.0  # of the projection: the filter's grey rims stay about one element wide
LEAST, MOST = 0.02, 0.98  # of the variables at the start: what is 0 would stay 0


@dataclass(frozen=True)
class Gain:
    """An action, and the values of the design after it."""

    action: str  # "start", "remove_floating", "step", "meet_volume"
    compliance: float  # J
    volume: float  # fraction
    floating: int  # parts


@dataclass(frozen=True, eq=False)
class Refinement:
    """A finished design, and the way to it."""

    density: np.ndarray  # float64 [*shape]
    gains: tuple[Gain, ...]  # the start first

    @property
    def compliance(self) -> float:
        """The compliance of the finished design, J."""
        return self.gains[-1].compliance


def refine(
    problem: Problem,
    density: np.ndarray,
    steps: int = 5,
    options: OptimizationOptions | None = None,
    *,
    solver: Solver | None = None,
) -> Refinement:
    """Return a design, density [*shape] from 0 to 1, after so many steps of optimization and the finish."""
    options, solver = options or OptimizationOptions(), solver or build_solver(problem)
    stepper = Stepper(problem, options, solver)
    gains: list[Gain] = []

    def record_gain(action: str, values: np.ndarray) -> None:
        solver.factorize(compute_moduli(values.ravel(), options.penalty))
        compliance = float((solver.solve(problem.forces) * problem.forces).sum()) / problem.stiffness
        gains.append(Gain(action, compliance, float(values.mean()), len(find_parts(problem, values).floating)))

    density = stepper.design.set_passive(np.clip(density, 0, 1).ravel()).reshape(problem.shape)
    record_gain("start", density)
    if gains[0].floating:
        density = remove_floating_parts(problem, density)
        record_gain("remove_floating", density)
    variables = stepper.design.build_start(np.clip(density, LEAST, MOST))
    for index in range(steps + 1 if steps else 0):
        values, compliance, gradient = stepper.evaluate_variables(variables, SHARPNESS)
        density = values.reshape(problem.shape)
        floating = len(find_parts(problem, density).floating)
        if index:
            gains.append(Gain("step", compliance, float(values.mean()), floating))
        if index < steps:
            variables = stepper.step_variables(variables, values, gradient, SHARPNESS)
    density = fit_volume(problem, remove_floating_parts(problem, density))
    record_gain("meet_volume", density)
    return Refinement(density, tuple(gains))
