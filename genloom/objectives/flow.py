"""Learn the velocity that carries noise to data along straight lines (flow matching)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.solvers import SOLVERS, VelocityFn
from genloom.types import Batch, Condition, ConditionSpec, Loss, NetworkSpec, Parts, Phase, SignalSpace

_NOISE, _TIME = 0, 1  # positions of the two draws of training; a sampler starts from the one at _NOISE
TRAIN_DEFAULTS = {"ema_decay": 0.999}  # what such a model is trained with unless a job says otherwise
_RESAMPLE = 2  # and the positions from which on it draws where it goes back in time


@dataclass(frozen=True)
class SamplingParams:
    """How the equation is solved, and what of the solution is known; its tensors are made as large as B C *size."""

    steps: int = 20
    solver: str = "multistep"  # or "heun", "euler"
    shift: float = 1.0  # above 1: more of the steps near the noise, which large pictures need (Esser et al. 2024)
    known_values: Tensor | None = None  # data that is kept, but for the places
    mask: Tensor | None = None  # where this is True: they are made anew, so that they fit
    resample_steps: int = 0  # times that each step is taken back and done over, which makes them fit better
    init_values: Tensor | None = None  # data to make variations of
    strength: float = 1.0  # how far towards noise `start` is carried first: 0 keeps it, 1 forgets it

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"Unknown solver {self.solver!r}. Known: {', '.join(SOLVERS)}.")
        if self.steps < 1 or self.shift <= 0 or self.resample_steps < 0:
            raise ValueError(
                "steps must be 1 or more, shift above 0 and resample_steps 0 or more, "
                f"got {self.steps}, {self.shift} and {self.resample_steps}."
            )
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength is a share from 0 (keep the start) to 1 (forget it), got {self.strength}.")
        check_known_values(self.known_values, self.mask)

    @property
    def times(self) -> list[float]:
        """The times at which the equation is solved, from noise (0) or the noised start to data (1)."""
        t_start = 0.0 if self.init_values is None else 1 - self.strength
        steps = max(round(self.steps * (1 - t_start)), 1)
        return [t_start + (1 - t_start) * shift_time(i / steps, self.shift) for i in range(steps + 1)]


@dataclass(frozen=True)
class Flow:
    space: SignalSpace
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    phases = (Phase("model", ("model",)),)

    @property
    def nats_per_term(self) -> float:
        """What a unit of the loss is worth in nats, of noise of variance one: half of each number's square."""
        return self.space.channels * prod(self.space.size) / 2

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        return {"model": NetworkSpec(self.space, self.space, has_time=True, condition=self.condition)}

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        """Squared error of the velocity (Lipman, Liu et al. 2023), at logit-normal times (Esser et al. 2024)."""
        assert batch.lengths is None, "signals have one size; `mask` says which of its positions count"
        noise_B = noise.normal(batch.x.shape[1:], _NOISE).to(batch.x.device)
        t_B = noise.normal((), _TIME).sigmoid().to(batch.x.device)
        velocity = parts["model"](lerp(noise_B, batch.x, t_B), t_B, cond=batch.cond).float()
        return masked_mse(velocity - (batch.x - noise_B), batch.mask)

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        """Yield after every step what the model now takes the data to be; the last is the solution of the equation."""
        device = next(parts["model"].parameters()).device

        def velocity(x: Tensor, t: float) -> Tensor:
            return parts["model"](x, x.new_full((count,), t), cond=cond).float()

        x = noise.normal((self.space.channels, *self.space.size), _NOISE).to(device)
        yield from integrate(velocity, x, noise, params)


class IntegrationParams(Protocol):
    """The controls of `solutions`, as `Controls` describes them."""

    @property
    def times(self) -> list[float]: ...

    @property
    def solver(self) -> str: ...

    @property
    def known_values(self) -> Tensor | None: ...

    @property
    def mask(self) -> Tensor | None: ...

    @property
    def resample_steps(self) -> int: ...

    @property
    def init_values(self) -> Tensor | None: ...


def integrate(velocity: VelocityFn, noise_B: Tensor, noise: Noise, params: IntegrationParams) -> Iterator[Tensor]:
    """Yield what the data seem to be after every step from `noise_B`, B C *size, under the controls."""
    solver_step, prev_step, draw = SOLVERS[params.solver], None, _RESAMPLE
    known_values, mask, init_values = (
        None if v is None else v.to(noise_B) for v in (params.known_values, params.mask, params.init_values)
    )
    times = params.times
    x = noise_B if init_values is None else lerp(noise_B, init_values.expand_as(noise_B), times[0])

    def apply_known(x: Tensor, t: float) -> Tensor:
        """x with what is known in its place, carried to the time t."""
        if known_values is None or mask is None:
            return x
        return torch.where(mask > 0, x, lerp(noise_B, known_values.expand_as(x), t))

    for t, t_next in pairwise(times):
        for _ in range(params.resample_steps if t_next < 1 else 0):
            # Back to t with fresh noise (RePaint, Lugmayr et al. 2022, algorithm 1): what was filled in meets the rest.
            x, _, _ = solver_step(velocity, x, t, t_next, None)
            fresh_noise, draw = noise.normal(x.shape[1:], draw).to(x.device), draw + 1
            x, prev_step = apply_known(renoise(apply_known(x, t_next), fresh_noise, t, t_next), t), None
        x, v, prev_step = solver_step(velocity, x, t, t_next, prev_step)
        x = apply_known(x, t_next)
        yield apply_known(x + (1 - t_next) * v, 1)


def check_known_values(known_values: Tensor | None, mask: Tensor | None) -> None:
    if (known_values is None) != (mask is None):
        raise ValueError(
            "What is known_values comes with a mask that says where not: give both known_values and mask, or neither."
        )


def renoise(x: Tensor, fresh_noise: Tensor, t: float, t_next: float) -> Tensor:
    """x of the time `after` noised to the time t: scaled down, with as much fresh noise as t then lacks."""
    return t / t_next * x + ((1 - t) ** 2 - (t / t_next * (1 - t_next)) ** 2) ** 0.5 * fresh_noise


def lerp(noise: Tensor, data: Tensor, t: Tensor | float) -> Tensor:
    """The point at time t, one number or B, on the line from noise (0) to data (1)."""
    t = t if isinstance(t, float | int) else t.view(-1, *[1] * (data.ndim - 1))
    return (1 - t) * noise + t * data


def masked_mse(error: Tensor, mask: Tensor | None) -> Loss:
    """The mean square over a row's positions, B C *size, or over those that its mask, B *size, marks as counting."""
    squared_error, ones = error.square(), error.new_ones(len(error))
    if mask is None:
        return Loss(squared_error.flatten(1).mean(1), ones)
    loss_mask = mask.unsqueeze(1).expand_as(error).flatten(1).float()
    return Loss(
        (squared_error.flatten(1) * loss_mask).sum(1) / loss_mask.sum(1).clamp(min=1), (loss_mask.amax(1) > 0).float()
    )


def shift_time(t: float, shift: float) -> float:
    return t / (t + shift * (1 - t))
