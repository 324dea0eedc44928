"""Learn jumps beside velocities, so that a few steps, or one, lead from noise to data (shortcut models).

Frans et al. 2024, "One step diffusion via shortcut models". Around the network of a trained flow, the flow is kept as a
teacher, and the jumps learn to follow its guided way.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import log2

import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.flow import between, known_or_neither, solutions, squared
from genloom.types import Batch, Cond, Condition, Loss, Parts, Role, Signal, Turn

_NOISE, _TIME, _CHOICE = 0, 1, 2  # positions of the draws of training; a sampler starts from the one at _NOISE
PLAN = {"average": 0.999}  # what such a model is trained with unless a job says otherwise
_VELOCITY = -1  # the level of no jump


@dataclass(frozen=True)
class Controls:
    """As those of `flow`; there is one solver, and the steps are jumps that were learned."""

    steps: int = 4  # 1, 2, 4 … up to 2^(levels - 1)
    known: Tensor | None = None  # data that is kept, but for the places
    mask: Tensor | None = None  # where this is True: they are made anew, so that they fit
    again: int = 0  # times that each step is taken back and done over, which makes them fit better
    start: Tensor | None = None  # data to make variations of
    strength: float = 1.0  # how far towards noise `start` is carried first, rounded to whole steps
    solver = "euler"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.steps & (self.steps - 1):
            raise ValueError(f"This model takes 1, 2, 4 or another power of two steps, got {self.steps}.")
        if self.again < 0 or not 0 <= self.strength <= 1:
            raise ValueError(f"again must be 0 or more and strength from 0 to 1, got {self.again} and {self.strength}.")
        known_or_neither(self.known, self.mask)

    @property
    def times(self) -> list[float]:
        """The times between jumps, from noise (0) or the noised start to data (1)."""
        first = 0 if self.start is None else min(round(self.steps * (1 - self.strength)), self.steps - 1)
        return [i / self.steps for i in range(first, self.steps + 1)]


@dataclass(frozen=True)
class Shortcut:
    space: Signal
    cond: Cond = field(default_factory=Cond)
    guidance: float = (
        3.0  # how strongly the jumps follow a condition: it is learned, and fixed from then on; 1: plainly
    )
    levels: int = 4  # jumps of 1, 1/2, … 1/2^(levels - 1)
    anchored: float = 0.25  # share of the samples that teach velocities by the data, where there is no teacher
    teacher: Parts = field(default_factory=dict)  # a trained flow; none: its own velocities are the way
    turns = (Turn("model", ("model",)),)

    def __post_init__(self) -> None:
        if self.levels < 3 or not 0 <= self.anchored <= 1 or self.guidance < 0:
            raise ValueError(
                "Of shortcuts, levels must be 3 or more, anchored a share from 0 to 1, and guidance 0 or more, "
                f"got {self.levels}, {self.anchored} and {self.guidance}."
            )

    def taught_by(self, flow: Parts) -> "Shortcut":
        """Shortcuts of this trained flow, which is kept at 16 bits: it says no more than where to."""
        teacher = {name: deepcopy(part).to(torch.bfloat16).eval().requires_grad_(False) for name, part in flow.items()}
        return replace(self, teacher=teacher)

    @property
    def roles(self) -> dict[str, Role]:
        cond = replace(self.cond, vector=self.cond.vector + self.levels)
        return {"model": Role(self.space, self.space, timed=True, cond=cond)}

    def loss(self, parts: Parts, batch: Batch, turn: Turn, noise: Noise) -> Loss:
        """Squared error of velocities, and of jumps against two jumps of half the length (equation 5)."""
        assert batch.lengths is None, "signals have one size; `mask` says which of its positions count"
        start = noise.normal(batch.x.shape[1:], _NOISE).to(batch.x)
        anchor_B, level_B, place_B = noise.uniform((3,), _CHOICE).to(batch.x.device).unbind(1)
        level_B = torch.where(
            anchor_B < (0 if self.teacher else self.anchored), _VELOCITY, (level_B * self.levels).long()
        )
        count_B = 2 ** level_B.clamp(min=0)
        t_B = torch.where(
            level_B < 0, noise.normal((), _TIME).to(start).sigmoid(), (place_B * count_B).floor() / count_B
        )
        x, wanted = between(start, batch.x, t_B), batch.x - start
        jumps = (level_B >= 0).nonzero()[:, 0]
        if len(jumps):
            cond = None if batch.cond is None else batch.cond.rows(jumps)
            wanted[jumps] = self.halves(parts, x[jumps], t_B[jumps], level_B[jumps], cond)
        return squared(self.velocity(parts, x, t_B, level_B, batch.cond) - wanted, batch.mask)

    @torch.no_grad()
    def halves(self, parts: Parts, x: Tensor, t_B: Tensor, level_B: Tensor, cond: Condition | None) -> Tensor:
        """The mean velocity of each row's jump, made in two halves: jumps of the next level, or of the flow itself."""
        shortest_B = level_B == self.levels - 1
        next_B, half_B = torch.where(shortest_B, _VELOCITY, level_B + 1), 0.5 ** (level_B + 1)
        first = self.followed(parts, x, t_B, next_B, cond)
        second = self.followed(parts, x + along(half_B, x) * first, t_B + half_B, next_B, cond)
        # A velocity in the middle is the mean, to the second order; two jumps come one after the other.
        return torch.where(along(shortest_B, x), second, (first + second) / 2)

    def followed(self, parts: Parts, x: Tensor, t_B: Tensor, level_B: Tensor, cond: Condition | None) -> Tensor:
        """The velocity of each row: its jump's, or at level -1 the flow's."""
        mean = torch.empty_like(x)
        for rows_B, flows in ((level_B == _VELOCITY, True), (level_B != _VELOCITY, False)):
            if rows_B.any():
                told = None if cond is None else cond.rows(rows_B)
                some = x[rows_B], t_B[rows_B]
                mean[rows_B] = (
                    self.guided(parts, *some, told) if flows else self.velocity(parts, *some, level_B[rows_B], told)
                )
        return mean

    def guided(self, parts: Parts, x: Tensor, t_B: Tensor, cond: Condition | None) -> Tensor:
        """The flow's velocity under classifier-free guidance (Ho and Salimans 2021, equation 6)."""
        with_it = self.flowing(parts, x, t_B, cond)
        if cond is None or self.guidance == 1:
            return with_it
        without = self.flowing(parts, x, t_B, cond.keep(torch.zeros_like(t_B, dtype=torch.bool)))
        return without + self.guidance * (with_it - without)

    def flowing(self, parts: Parts, x: Tensor, t_B: Tensor, cond: Condition | None) -> Tensor:
        if self.teacher:
            return self.teacher["model"](x, t_B, cond=cond).float()
        return self.velocity(parts, x, t_B, torch.full_like(t_B, _VELOCITY, dtype=torch.long), cond)

    def velocity(self, parts: Parts, x: Tensor, t_B: Tensor, level_B: Tensor, cond: Condition | None) -> Tensor:
        """The mean velocity of a jump of each row's level; at level -1 the velocity itself."""
        cond = cond or Condition()
        jump = F.one_hot(level_B + 1, self.levels + 1)[:, 1:].to(x)  # a zero vector asks for no jump
        if self.cond.vector:
            given = x.new_zeros(len(x), self.cond.vector) if cond.vector is None else cond.vector.to(x)
            jump = torch.cat([given, jump], 1)
        return parts["model"](x, t_B, cond=replace(cond, vector=jump)).float()

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Controls
    ) -> Iterator[Tensor]:
        """Yield after every jump what the model now takes the data to be."""
        level, device = round(log2(controls.steps)), next(parts["model"].parameters()).device
        if level >= self.levels:
            raise ValueError(f"This model has learned up to {2 ** (self.levels - 1)} steps, got {controls.steps}.")
        level_B = torch.full((count,), level, device=device)

        def velocity(x: Tensor, t: float) -> Tensor:
            return self.velocity(parts, x, x.new_full((count,), t), level_B, cond)

        x = noise.normal((self.space.channels, *self.space.size), _NOISE).to(device)
        yield from solutions(velocity, x, noise, controls)


def along(value_B: Tensor, x: Tensor) -> Tensor:
    return value_B.view(-1, *[1] * (x.ndim - 1))
