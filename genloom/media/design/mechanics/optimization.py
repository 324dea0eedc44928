"""Topology optimization: the distribution of material that makes a part stiffest, by SIMP.

Densities are filtered, projected towards black and white ever more sharply, and penalized (Bendsøe and Sigmund 2003;
Andreassen et al. 2011, whose 88 lines `PLAIN` follows). With a least thickness the eroded design is optimized, as its
members are the first to vanish (Wang, Lazarov and Sigmund 2011); with a limit of stress, by MMA.
`optimize` yields the designs on the way; who calls it shows them and stops.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from genloom.media.design.mechanics.analysis import compute_unit_energies
from genloom.media.design.mechanics.design_variables import DesignVariables, OptimizationOptions, Stage
from genloom.media.design.mechanics.interpolation import compute_moduli, differentiate_moduli
from genloom.media.design.mechanics.mma import MovingAsymptotes
from genloom.media.design.mechanics.optimality import update_densities
from genloom.media.design.mechanics.problem import Problem
from genloom.media.design.mechanics.solver import Solver, build_solver
from genloom.media.design.mechanics.stress import measure_stress

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
    stepper = Stepper(problem, options, solver or build_solver(problem))
    variables, number, change = stepper.design.build_start(start), 0, 1.0
    for stage in options.schedule:
        stepper.start_stage()
        for index in range(stage.steps + 1):
            density, compliance, gradient = stepper.evaluate_variables(variables, stage.sharpness)
            grid = density.reshape(problem.shape)
            yield Step(number, grid, compliance, float(density.mean()), change, stage.sharpness)
            if index == stage.steps or (index and change <= stage.tolerance):
                break
            previous = variables
            variables = stepper.step_variables(variables, density, gradient, stage.sharpness)
            change, number = float(np.abs(variables - previous).max()), number + 1


class Stepper:
    """Evaluates the variables of a problem, and makes steps from them."""

    def __init__(self, problem: Problem, options: OptimizationOptions, solver: Solver) -> None:
        self.design = DesignVariables(problem, options)
        self._problem, self._options, self._solver = problem, options, solver
        self._asymptotes: MovingAsymptotes | None = None
        self._scale = 0.0  # of the compliance, for MMA

    def start_stage(self) -> None:
        """Forget the steps before: the projection is another one."""
        self._asymptotes = None

    def evaluate_variables(self, variables: np.ndarray, sharpness: float) -> tuple[np.ndarray, float, np.ndarray]:
        """Return the flat densities, their compliance, and the gradient by the densities that are optimized."""
        density = self.design.build_density(variables, sharpness)
        penalty, threshold = self._options.penalty, self._options.threshold
        compliance, gradient = differentiate_compliance(self._problem, self._solver, density, penalty)
        if threshold != 0.5 and sharpness > 0:
            eroded = self.design.build_density(variables, sharpness, threshold)
            _, gradient = differentiate_compliance(self._problem, self._solver, eroded, penalty)
        return density, compliance, gradient

    def step_variables(
        self, variables: np.ndarray, density: np.ndarray, gradient: np.ndarray, sharpness: float
    ) -> np.ndarray:
        """Return the variables after one step."""
        design, options, target = self.design, self._options, self._problem.volume
        threshold = options.threshold if sharpness > 0 else 0.5
        gradient = design.pull_back(gradient, variables, sharpness, threshold)
        volume_gradient = design.pull_back(np.full(variables.size, 1 / variables.size), variables, sharpness)
        if options.max_stress > 0:
            return self._step_within_stress(variables, density, gradient, volume_gradient, sharpness)
        low = design.set_passive(np.maximum(variables - options.move, 0))
        high = design.set_passive(np.minimum(variables + options.move, 1))
        return update_densities(
            variables,
            gradient,
            volume_gradient,
            lambda values: float(design.build_density(values, sharpness).mean()),
            target,
            bounds=(low, high),
        )

    def _step_within_stress(
        self,
        variables: np.ndarray,
        density: np.ndarray,
        gradient: np.ndarray,
        volume_gradient: np.ndarray,
        sharpness: float,
    ) -> np.ndarray:
        design, options, target = self.design, self._options, self._problem.volume
        if self._asymptotes is None:
            low, high = design.set_passive(np.zeros(variables.size)), design.set_passive(np.ones(variables.size))
            self._asymptotes = MovingAsymptotes(low, high, options.move)
            self._scale = 1 / max(float(np.abs(gradient).sum()), 1e-300)
        self._solver.factorize(compute_moduli(density, options.penalty))
        stress, slope = measure_stress(self._problem, self._solver, density, options.penalty)
        constraints = np.array([float(density.mean()) / target - 1, stress / options.max_stress - 1])
        slope = design.pull_back(slope / options.max_stress, variables, sharpness)
        return self._asymptotes.step_variables(
            variables, gradient * self._scale, constraints, np.stack([volume_gradient / target, slope])
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
