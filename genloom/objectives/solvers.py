"""Steps along a velocity, by which the equation of a flow is solved from noise to data."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class Slope:
    """The velocity that a step began with, and the step's two times."""

    velocity: Tensor
    t: float
    after: float


Solver = Callable[[Velocity, Tensor, float, float, Slope | None], tuple[Tensor, Tensor, Slope]]


def euler(velocity: Velocity, x: Tensor, t: float, after: float, last: Slope | None) -> tuple[Tensor, Tensor, Slope]:
    """Where x is at the time `after`, the velocity that led there, and what the next step is told as its `last`."""
    v = velocity(x, t)
    return x + (after - t) * v, v, Slope(v, t, after)


def heun(velocity: Velocity, x: Tensor, t: float, after: float, last: Slope | None) -> tuple[Tensor, Tensor, Slope]:
    """Heun's second-order step (Karras et al. 2022, algorithm 1, without churn); one Euler step at the end of time."""
    v = velocity(x, t)
    if after == 1:
        return x + (after - t) * v, v, Slope(v, t, after)
    v2 = velocity(x + (after - t) * v, after)
    return x + (after - t) * (v + v2) / 2, v2, Slope(v, t, after)


def multistep(
    velocity: Velocity, x: Tensor, t: float, after: float, last: Slope | None
) -> tuple[Tensor, Tensor, Slope]:
    """Second order at one evaluation a step, from the velocity before (Adams and Bashforth, for unequal steps)."""
    v = velocity(x, t)
    ahead = v
    if last is not None and after < 1:
        ahead = v + (after - t) / (last.after - last.t) / 2 * (v - last.velocity)
    return x + (after - t) * ahead, ahead, Slope(v, t, after)


SOLVERS: dict[str, Solver] = {"euler": euler, "heun": heun, "multistep": multistep}
