"""The method of moving asymptotes: a step of an optimization under several constraints (Svanberg 1987, 2002).

The convex subproblem is solved by its dual, which has one variable a constraint. The kept packages do not serve: mmapy
is under the GPL, NLopt's MMA runs its own loop, and pymoto's is bound to its networks (it is the peer in the tests).
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

_START, _WIDEN, _NARROW = 0.5, 1.2, 0.7  # of the asymptotes' distance, in ranges of the variables
_NEAREST, _FARTHEST = 0.01, 10.0
_MARGIN = 0.1  # of the way to an asymptote that a step leaves
_RIGIDITY = 1e-5  # keeps the approximations strictly convex
PENALTY = 1000.0  # of a violated constraint, for an objective of about 1


@dataclass
class MovingAsymptotes:
    """The steps before and the asymptotes; constraints are values that are to be at most 0."""

    low: np.ndarray  # of the variables
    high: np.ndarray
    move: float = 0.2
    history: list[np.ndarray] = field(default_factory=list)  # the last two variables
    distances: np.ndarray | None = None  # of the asymptotes

    def step_variables(
        self, variables: np.ndarray, gradient: np.ndarray, constraints: np.ndarray, gradients: np.ndarray
    ) -> np.ndarray:
        """Return the next variables, from the gradient [N], the constraints [M] and their gradients [M, N]."""
        width = np.maximum(self.high - self.low, 1e-9)
        self._move_asymptotes(variables, width)
        distances = self.distances
        assert distances is not None
        lower, upper = variables - distances, variables + distances
        start = np.maximum.reduce([self.low, lower + _MARGIN * distances, variables - self.move * width])
        end = np.minimum.reduce([self.high, upper - _MARGIN * distances, variables + self.move * width])
        slopes = np.vstack([gradient, gradients])
        rise, fall = np.maximum(slopes, 0), np.maximum(-slopes, 0)
        convex = 0.001 * (rise + fall) + _RIGIDITY / width
        towards_upper, towards_lower = (rise + convex) * distances**2, (fall + convex) * distances**2
        # Each approximation is sum(p / (upper - x) + q / (x - lower)) + constant, exact in value and slope here.
        offsets = constraints - (towards_upper[1:] + towards_lower[1:]) @ (1 / distances)
        self.history = [*self.history[-1:], variables]
        return _solve_dual(towards_upper, towards_lower, offsets, lower, upper, start, end)

    def _move_asymptotes(self, variables: np.ndarray, width: np.ndarray) -> None:
        if self.distances is None or len(self.history) < 2:
            self.distances = _START * width
            return
        trend = (variables - self.history[-1]) * (self.history[-1] - self.history[-2])
        factor = np.where(trend > 0, _WIDEN, np.where(trend < 0, _NARROW, 1.0))
        self.distances = np.clip(factor * self.distances, _NEAREST * width, _FARTHEST * width)


def _solve_dual(
    towards_upper: np.ndarray,
    towards_lower: np.ndarray,
    offsets: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
) -> np.ndarray:
    """Return the minimum of the convex subproblem; a violated constraint costs PENALTY times it."""

    def build_variables(multipliers: np.ndarray) -> np.ndarray:
        weights = np.concatenate([[1.0], multipliers])
        up, down = np.sqrt(weights @ towards_upper), np.sqrt(weights @ towards_lower)
        return np.clip((lower * up + upper * down) / (up + down), start, end)

    def measure_dual(multipliers: np.ndarray) -> tuple[float, np.ndarray]:
        variables = build_variables(multipliers)
        values = towards_upper @ (1 / (upper - variables)) + towards_lower @ (1 / (variables - lower))
        slopes = values[1:] + offsets
        return -(values[0] + float(multipliers @ slopes)), -slopes

    result = minimize(
        measure_dual, np.ones(len(offsets)), jac=True, bounds=[(0.0, PENALTY)] * len(offsets), method="L-BFGS-B",
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 200},
    )  # fmt: skip
    return build_variables(result.x)
