"""Learn the velocity that carries noise to data along straight lines (flow matching)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.solvers import SOLVERS, Velocity
from genloom.types import Batch, Cond, Condition, Loss, Parts, Role, Signal, Turn

_NOISE, _TIME = 0, 1  # positions of the two draws of training; a sampler starts from the one at _NOISE
PLAN = {"average": 0.999}  # what such a model is trained with unless a job says otherwise
_AGAIN = 2  # and the positions from which on it draws where it goes back in time


@dataclass(frozen=True)
class Controls:
    """How the equation is solved, and what of the solution is known; its tensors are made as large as B C *size."""

    steps: int = 20
    solver: str = "multistep"  # or "heun", "euler"
    shift: float = 1.0  # above 1: more of the steps near the noise, which large pictures need (Esser et al. 2024)
    known: Tensor | None = None  # data that is kept, but for the places
    mask: Tensor | None = None  # where this is True: they are made anew, so that they fit
    again: int = 0  # times that each step is taken back and done over, which makes them fit better
    start: Tensor | None = None  # data to make variations of
    strength: float = 1.0  # how far towards noise `start` is carried first: 0 keeps it, 1 forgets it

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"Unknown solver {self.solver!r}. Known: {', '.join(SOLVERS)}.")
        if self.steps < 1 or self.shift <= 0 or self.again < 0:
            raise ValueError(
                "steps must be 1 or more, shift above 0 and again 0 or more, "
                f"got {self.steps}, {self.shift} and {self.again}."
            )
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength is a share from 0 (keep the start) to 1 (forget it), got {self.strength}.")
        known_or_neither(self.known, self.mask)

    @property
    def times(self) -> list[float]:
        """The times at which the equation is solved, from noise (0) or the noised start to data (1)."""
        first = 0.0 if self.start is None else 1 - self.strength
        steps = max(round(self.steps * (1 - first)), 1)
        return [first + (1 - first) * shifted(i / steps, self.shift) for i in range(steps + 1)]


@dataclass(frozen=True)
class Flow:
    space: Signal
    cond: Cond = field(default_factory=Cond)
    turns = (Turn("model", ("model",)),)

    @property
    def nats(self) -> float:
        """What a unit of the loss is worth in nats, of noise of variance one: half of each number's square."""
        return self.space.channels * prod(self.space.size) / 2

    @property
    def roles(self) -> dict[str, Role]:
        return {"model": Role(self.space, self.space, timed=True, cond=self.cond)}

    def loss(self, parts: Parts, batch: Batch, turn: Turn, noise: Noise) -> Loss:
        """Squared error of the velocity (Lipman, Liu et al. 2023), at logit-normal times (Esser et al. 2024)."""
        assert batch.lengths is None, "signals have one size; `mask` says which of its positions count"
        start = noise.normal(batch.x.shape[1:], _NOISE).to(batch.x.device)
        t_B = noise.normal((), _TIME).sigmoid().to(batch.x.device)
        velocity = parts["model"](between(start, batch.x, t_B), t_B, cond=batch.cond).float()
        return squared(velocity - (batch.x - start), batch.mask)

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Controls
    ) -> Iterator[Tensor]:
        """Yield after every step what the model now takes the data to be; the last is the solution of the equation."""
        device = next(parts["model"].parameters()).device

        def velocity(x: Tensor, t: float) -> Tensor:
            return parts["model"](x, x.new_full((count,), t), cond=cond).float()

        x = noise.normal((self.space.channels, *self.space.size), _NOISE).to(device)
        yield from solutions(velocity, x, noise, controls)


class Course(Protocol):
    """The controls of `solutions`, as `Controls` describes them."""

    @property
    def times(self) -> list[float]: ...

    @property
    def solver(self) -> str: ...

    @property
    def known(self) -> Tensor | None: ...

    @property
    def mask(self) -> Tensor | None: ...

    @property
    def again(self) -> int: ...

    @property
    def start(self) -> Tensor | None: ...


def solutions(velocity: Velocity, noise_B: Tensor, noise: Noise, controls: Course) -> Iterator[Tensor]:
    """Yield what the data seem to be after every step from `noise_B`, B C *size, under the controls."""
    solve, last, draws = SOLVERS[controls.solver], None, _AGAIN
    known, mask, start = (None if v is None else v.to(noise_B) for v in (controls.known, controls.mask, controls.start))
    times = controls.times
    x = noise_B if start is None else between(noise_B, start.expand_as(noise_B), times[0])

    def fitted(x: Tensor, t: float) -> Tensor:
        """x with what is known in its place, carried to the time t."""
        if known is None or mask is None:
            return x
        return torch.where(mask > 0, x, between(noise_B, known.expand_as(x), t))

    for t, after in pairwise(times):
        for _ in range(controls.again if after < 1 else 0):
            # Back to t with fresh noise (RePaint, Lugmayr et al. 2022, algorithm 1): what was filled in meets the rest.
            x, _, _ = solve(velocity, x, t, after, None)
            fresh, draws = noise.normal(x.shape[1:], draws).to(x.device), draws + 1
            x, last = fitted(taken_back(fitted(x, after), fresh, t, after), t), None
        x, v, last = solve(velocity, x, t, after, last)
        x = fitted(x, after)
        yield fitted(x + (1 - after) * v, 1)


def known_or_neither(known: Tensor | None, mask: Tensor | None) -> None:
    if (known is None) != (mask is None):
        raise ValueError("What is known comes with a mask that says where not: give both known and mask, or neither.")


def taken_back(x: Tensor, fresh: Tensor, t: float, after: float) -> Tensor:
    """x of the time `after` noised to the time t: scaled down, with as much fresh noise as t then lacks."""
    return t / after * x + ((1 - t) ** 2 - (t / after * (1 - after)) ** 2) ** 0.5 * fresh


def between(noise: Tensor, data: Tensor, t: Tensor | float) -> Tensor:
    """The point at time t, one number or B, on the line from noise (0) to data (1)."""
    t = t if isinstance(t, float | int) else t.view(-1, *[1] * (data.ndim - 1))
    return (1 - t) * noise + t * data


def squared(error: Tensor, mask: Tensor | None) -> Loss:
    """The mean square over a row's positions, B C *size, or over those that its mask, B *size, marks as counting."""
    square, ones = error.square(), error.new_ones(len(error))
    if mask is None:
        return Loss(square.flatten(1).mean(1), ones)
    counts = mask.unsqueeze(1).expand_as(error).flatten(1).float()
    return Loss((square.flatten(1) * counts).sum(1) / counts.sum(1).clamp(min=1), (counts.amax(1) > 0).float())


def shifted(t: float, shift: float) -> float:
    return t / (t + shift * (1 - t))
