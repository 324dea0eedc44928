"""The finish of a design that was generated: a few steps of optimization from it, then what a part must keep to.

What floats after the steps is removed, the volume is met exactly; the gain of every action is returned. Before them
nothing is removed: a load path with a gap looks like two floating parts, which the steps join. For that the first steps
see the filtered densities, and the later ones ever sharper ones.
"""

from dataclasses import dataclass

import numpy as np

from genloom.media.design.mechanics.design_variables import OptimizationOptions
from genloom.media.design.mechanics.interpolation import compute_moduli
from genloom.media.design.mechanics.optimization import Stepper
from genloom.media.design.mechanics.parts import find_parts, fit_volume, remove_floating_parts
from genloom.media.design.mechanics.problem import Problem
from genloom.media.design.mechanics.solver import Solver, build_solver

SHARPNESS = 8.0  # of the projection at the end: the filter's grey rims stay about one element wide
RISING_STEPS = 4  # over which it rises to that
LEAST, MOST = 0.02, 0.98  # of the variables at the start: what is 0 would stay 0


@dataclass(frozen=True)
class Gain:
    """An action, and the values of the design after it."""

    action: str  # "start", "step", "remove_floating", "meet_volume"
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
    variables = stepper.design.build_start(np.clip(density, LEAST, MOST))
    for index, sharpness in enumerate(build_schedule(steps, options)):
        values, compliance, gradient = stepper.evaluate_variables(variables, sharpness)
        density = values.reshape(problem.shape)
        if index:
            gains.append(Gain("step", compliance, float(values.mean()), len(find_parts(problem, density).floating)))
        if index < steps:
            variables = stepper.step_variables(variables, values, gradient, sharpness)
    parts = find_parts(problem, density)
    if parts.floating and not parts.unheld_loads:
        density = remove_floating_parts(problem, density)
        record_gain("remove_floating", density)
    density = fit_volume(problem, density)
    record_gain("meet_volume", density)
    return Refinement(density, tuple(gains))


def build_schedule(steps: int, options: OptimizationOptions) -> list[float]:
    """Return the sharpness of the projection before each step and after the last: it doubles over the first steps.

    A limit of stress keeps one sharpness, since its method reads the steps before.
    """
    if not steps:
        return []
    if options.max_stress > 0 or steps == 1:
        return [SHARPNESS] * (steps + 1)
    rise = 2 ** min(steps - 1, RISING_STEPS) - 1
    return [SHARPNESS * min((2 ** min(index, RISING_STEPS) - 1) / rise, 1) for index in range(steps)] + [SHARPNESS]
