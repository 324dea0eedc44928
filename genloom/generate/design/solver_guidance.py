"""Guidance by the solver's gradient: the design that a network expects makes a step of optimization before it is used.

The design is the estimate of the data at a time of a flow, x + (1 - t) v (Chung et al. 2023; Giannone et al. 2023,
"Aligning optimization trajectories with diffusion models"). The step is that of the optimality criteria, which keeps
the volume, so there is no scale to choose between a gradient and a velocity.
"""

import numpy as np
import torch
from torch import Tensor, nn

from genloom.media.design.mechanics.design_variables import OptimizationOptions
from genloom.media.design.mechanics.optimization import Stepper
from genloom.media.design.mechanics.problem import Problem
from genloom.media.design.mechanics.solver import build_solver
from genloom.objectives.sizes import resize_network
from genloom.types import Condition

LEAST, MOST = 0.02, 0.98  # of the variables: what is 0 would stay 0
LEAST_REMAINING = 1e-3  # time to the data, by which an estimate is divided
SHARPNESS = 2.0  # of the projection within a step


class SolverGuidance(nn.Module):
    """A network whose estimates of the data, all for one problem, are moved by `weight` of a step of optimization.

    It begins at the time `start`; before, the estimates are too vague to be worth an analysis of each row.
    """

    def __init__(
        self,
        network: nn.Module,
        problem: Problem,
        weight: float,
        start: float = 0.5,
        options: OptimizationOptions | None = None,
    ):
        super().__init__()
        self.network, self.problem, self.weight, self.start = network, problem, weight, start
        self.options = options or OptimizationOptions()
        self.stepper = Stepper(problem, self.options, build_solver(problem))

    def at_size(self, size: tuple[int, ...]) -> "SolverGuidance":
        """Return the guided network for inputs of this size, which is that of the problem."""
        assert size == self.problem.shape, "the problem is on the grid of the samples"
        return SolverGuidance(resize_network(self.network, size), self.problem, self.weight, self.start, self.options)

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        velocity = self.network(x, t, cond=cond, lengths=lengths)
        assert t is not None, "a flow has a time"
        time = float(t[0])  # all rows of a sampler share it
        if time < self.start or self.weight == 0:
            return velocity
        remaining = max(1 - time, LEAST_REMAINING)
        estimate = (x + remaining * velocity.float()).cpu().numpy()
        improved = np.stack([self.improve_density((row[0] + 1) / 2) for row in estimate])
        move = torch.from_numpy((2 * improved[:, None] - 1).astype(np.float32)).to(x) - (x + remaining * velocity)
        return velocity + self.weight * move / remaining

    def improve_density(self, density: np.ndarray) -> np.ndarray:
        """Return a density [*shape] after one step of optimization."""
        design = self.stepper.design
        variables = design.build_start(np.clip(density, LEAST, MOST))
        values, _, gradient = self.stepper.evaluate_variables(variables, SHARPNESS)
        variables = self.stepper.step_variables(variables, values, gradient, SHARPNESS)
        return design.build_density(variables, SHARPNESS).reshape(self.problem.shape)
