"""Steps along a velocity, by which the equation of a flow is solved from noise to data."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

VelocityFn = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class PrevStep:
    """The velocity that a step began with, and the step's two times."""

    velocity: Tensor
    t: float
    t_next: float


Solver = Callable[[VelocityFn, Tensor, float, float, PrevStep | None], tuple[Tensor, Tensor, PrevStep]]


def euler(
    velocity: VelocityFn, x: Tensor, t: float, t_next: float, prev_step: PrevStep | None
) -> tuple[Tensor, Tensor, PrevStep]:
    """Where x is at the time `after`, the velocity that led there, and what the next step is told as its `last`."""
    v = velocity(x, t)
    return x + (t_next - t) * v, v, PrevStep(v, t, t_next)


def heun(
    velocity: VelocityFn, x: Tensor, t: float, t_next: float, prev_step: PrevStep | None
) -> tuple[Tensor, Tensor, PrevStep]:
    """Heun's second-order step (Karras et al. 2022, algorithm 1, without churn); one Euler step at the end of time."""
    v = velocity(x, t)
    if t_next == 1:
        return x + (t_next - t) * v, v, PrevStep(v, t, t_next)
    v2 = velocity(x + (t_next - t) * v, t_next)
    return x + (t_next - t) * (v + v2) / 2, v2, PrevStep(v, t, t_next)


def multistep(
    velocity: VelocityFn, x: Tensor, t: float, t_next: float, prev_step: PrevStep | None
) -> tuple[Tensor, Tensor, PrevStep]:
    """Second order at one evaluation a step, from the velocity before (Adams and Bashforth, for unequal steps)."""
    v = velocity(x, t)
    extrapolated = v
    if prev_step is not None and t_next < 1:
        extrapolated = v + (t_next - t) / (prev_step.t_next - prev_step.t) / 2 * (v - prev_step.velocity)
    return x + (t_next - t) * extrapolated, extrapolated, PrevStep(v, t, t_next)


SOLVERS: dict[str, Solver] = {"euler": euler, "heun": heun, "multistep": multistep}
