"""Solvers of a flow's ordinary differential equation, from noise to data."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

VelocityFn = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class PrevStep:
    """The velocity at the start of the previous step, and the two times of that step."""

    velocity: Tensor
    t: float
    t_next: float


Solver = Callable[[VelocityFn, Tensor, float, float, PrevStep | None], tuple[Tensor, Tensor, PrevStep]]


def step_euler(
    velocity: VelocityFn, x: Tensor, t: float, t_next: float, prev_step: PrevStep | None
) -> tuple[Tensor, Tensor, PrevStep]:
    """Return x at time `t_next`, the velocity of the step, and the `prev_step` of the next step."""
    v = velocity(x, t)
    return x + (t_next - t) * v, v, PrevStep(v, t, t_next)


def step_heun(
    velocity: VelocityFn, x: Tensor, t: float, t_next: float, prev_step: PrevStep | None
) -> tuple[Tensor, Tensor, PrevStep]:
    """Take Heun's second-order step (Karras et al. 2022, algorithm 1, without churn); the last step is Euler's."""
    v = velocity(x, t)
    if t_next == 1:
        return x + (t_next - t) * v, v, PrevStep(v, t, t_next)
    v2 = velocity(x + (t_next - t) * v, t_next)
    return x + (t_next - t) * (v + v2) / 2, v2, PrevStep(v, t, t_next)


def step_multistep(
    velocity: VelocityFn, x: Tensor, t: float, t_next: float, prev_step: PrevStep | None
) -> tuple[Tensor, Tensor, PrevStep]:
    """Take a second-order step with one evaluation (Adams-Bashforth with unequal steps); the last step is Euler's."""
    v = velocity(x, t)
    extrapolated = v
    if prev_step is not None and t_next < 1:
        extrapolated = v + (t_next - t) / (prev_step.t_next - prev_step.t) / 2 * (v - prev_step.velocity)
    return x + (t_next - t) * extrapolated, extrapolated, PrevStep(v, t, t_next)


SOLVERS: dict[str, Solver] = {"euler": step_euler, "heun": step_heun, "multistep": step_multistep}
