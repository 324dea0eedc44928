"""Learn the velocity that carries noise to data along straight lines (flow matching)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.types import Batch, Cond, Condition, Loss, Parts, Role, Signal, Turn

_NOISE, _TIME = 0, 1  # positions of the two draws of training; a sampler's one draw is at _NOISE


@dataclass(frozen=True)
class Controls:
    steps: int = 20
    solver: str = "heun"  # or "euler"
    shift: float = 1.0  # above 1: more of the steps near the noise, which large pictures need (Esser et al. 2024)

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"Unknown solver {self.solver!r}. Known: {', '.join(SOLVERS)}.")
        if self.steps < 1 or self.shift <= 0:
            raise ValueError(f"steps must be 1 or more and shift above 0, got {self.steps} and {self.shift}.")


@dataclass(frozen=True)
class Flow:
    space: Signal
    cond: Cond = field(default_factory=Cond)
    turns = (Turn("model", ("model",)),)

    @property
    def roles(self) -> dict[str, Role]:
        return {"model": Role(self.space, self.space, timed=True, cond=self.cond)}

    def loss(self, parts: Parts, batch: Batch, turn: Turn, noise: Noise) -> Loss:
        """Squared error of the velocity (Lipman, Liu et al. 2023), at logit-normal times (Esser et al. 2024)."""
        assert batch.lengths is None, "signals have one size; `mask` says which of its positions count"
        start = noise.normal(batch.x.shape[1:], _NOISE).to(batch.x.device)
        t_B = noise.normal((), _TIME).sigmoid().to(batch.x.device)
        velocity = parts["model"](between(start, batch.x, t_B), t_B, cond=batch.cond).float()
        error = (velocity - (batch.x - start)).square()
        if batch.mask is None:
            return Loss(error.flatten(1).mean(1), torch.ones_like(t_B))
        counts = batch.mask.unsqueeze(1).expand_as(error).flatten(1).float()
        return Loss((error.flatten(1) * counts).sum(1) / counts.sum(1).clamp(min=1), (counts.amax(1) > 0).float())

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Controls
    ) -> Iterator[Tensor]:
        """Yield after every step what the model now takes the data to be; the last is the solution of the equation."""
        device = next(parts["model"].parameters()).device

        def velocity(x: Tensor, t: float) -> Tensor:
            return parts["model"](x, x.new_full((count,), t), cond=cond).float()

        x = noise.normal((self.space.channels, *self.space.size), _NOISE).to(device)
        times = [shifted(i / controls.steps, controls.shift) for i in range(controls.steps + 1)]
        for t, after in pairwise(times):
            x, v = SOLVERS[controls.solver](velocity, x, t, after)
            yield x + (1 - after) * v


Velocity = Callable[[Tensor, float], Tensor]


def euler(velocity: Velocity, x: Tensor, t: float, after: float) -> tuple[Tensor, Tensor]:
    v = velocity(x, t)
    return x + (after - t) * v, v


def heun(velocity: Velocity, x: Tensor, t: float, after: float) -> tuple[Tensor, Tensor]:
    """Heun's second-order step (Karras et al. 2022, algorithm 1, without churn); one Euler step at the end of time."""
    v = velocity(x, t)
    if after == 1:
        return x + (after - t) * v, v
    v2 = velocity(x + (after - t) * v, after)
    return x + (after - t) * (v + v2) / 2, v2


SOLVERS = {"euler": euler, "heun": heun}


def between(noise: Tensor, data: Tensor, t_B: Tensor) -> Tensor:
    """The point at time t on the line from noise (0) to data (1)."""
    t = t_B.view(-1, *[1] * (data.ndim - 1))
    return (1 - t) * noise + t * data


def shifted(t: float, shift: float) -> float:
    return t / (t + shift * (1 - t))
