"""Learn jumps besides velocities, so that a few steps, or one, lead from noise to data (shortcut models).

Frans et al. 2024, "One step diffusion via shortcut models". With the network of a trained flow, the flow becomes the
teacher, and the jumps learn to follow its guided trajectory.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import log2

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.noise import Noise
from genloom.objectives.checks import check_settings
from genloom.objectives.flow import IntegrationParams, lerp, masked_mse, sample_path
from genloom.objectives.sizes import build_length_kwargs, build_signal_mask
from genloom.settings import option
from genloom.types import Batch, Condition, ConditionSpec, Loss, NetworkSpec, Parts, Phase, SignalSpace, TensorTree

_NOISE, _TIME, _CHOICE = 0, 1, 2  # positions of the draws of training; a sampler starts from the one at _NOISE
TRAIN_DEFAULTS = {"ema_decay": 0.999}  # training settings unless a job sets others
_VELOCITY_LEVEL = -1  # the level of a velocity, which is not a jump


@dataclass(frozen=True)
class SamplingParams(IntegrationParams):
    """The parameters of `integrate` with the Euler solver, whose steps are the learned jumps."""

    steps: int = option(
        4,
        "Number of jumps: 1, 2, 4 and so on, up to as many as the model was trained for.",
        minimum=1,
        maximum=10_000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps & (self.steps - 1):
            raise GenloomError("objectives.steps_not_power_of_two", steps=self.steps)

    @property
    def times(self) -> list[float]:
        """The times between jumps; `strength` is rounded to whole steps."""
        strength = 1.0 if self.inputs.init_values is None else self.inputs.strength
        first = min(round(self.steps * (1 - strength)), self.steps - 1)
        return [i / self.steps for i in range(first, self.steps + 1)]


@dataclass(frozen=True)
class JumpInputs(TensorTree):
    """Inputs of the velocity of a jump."""

    x: Tensor
    t_B: Tensor
    level_B: Tensor
    cond: Condition | None = None
    lengths_B: Tensor | None = None


@dataclass(frozen=True)
class Shortcut:
    space: SignalSpace
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    guidance_scale: float = 3.0  # guidance of the jumps: learned in training, and fixed afterwards; 1: off
    num_levels: int = 4  # jumps of length 1, 1/2, … 1/2^(num_levels - 1)
    flow_fraction: float = 0.25  # share of the samples that train velocities on the data, if there is no teacher
    teacher: Parts = field(default_factory=dict)  # a trained flow; empty: the model's own velocities
    phases = (Phase("model", ("model",)),)

    def __post_init__(self) -> None:
        check_settings(
            self,
            {
                "num_levels": (self.num_levels >= 3, "at least 3"),
                "flow_fraction": (0 <= self.flow_fraction <= 1, "from 0 to 1"),
                "guidance_scale": (self.guidance_scale >= 0, "at least 0"),
            },
        )

    def with_teacher(self, flow: Parts) -> "Shortcut":
        """Return the objective with this trained flow as the teacher, at 16 bits, which suffice for its direction."""
        teacher = {name: deepcopy(part).to(torch.bfloat16).eval().requires_grad_(False) for name, part in flow.items()}
        return replace(self, teacher=teacher)

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        condition = replace(self.condition, vector=self.condition.vector + self.num_levels)
        return {"model": NetworkSpec(self.space, self.space, has_time=True, condition=condition)}

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        """Compute the squared error of velocities, and of jumps against two jumps of half the length (equation 5)."""
        noise_B = noise.normal(batch.x.shape[1:], _NOISE).to(batch.x)
        flow_draw_B, level_B, position_B = noise.uniform((3,), _CHOICE).to(batch.x.device).unbind(1)
        level_B = torch.where(
            flow_draw_B < (0 if self.teacher else self.flow_fraction),
            _VELOCITY_LEVEL,
            (level_B * self.num_levels).long(),
        )
        num_jumps_B = 2 ** level_B.clamp(min=0)
        t_B = torch.where(
            level_B < 0, noise.normal((), _TIME).to(noise_B).sigmoid(), (position_B * num_jumps_B).floor() / num_jumps_B
        )
        inputs = JumpInputs(lerp(noise_B, batch.x, t_B), t_B, level_B, batch.cond, batch.lengths)
        target = batch.x - noise_B
        jump_rows = (level_B >= 0).nonzero()[:, 0]
        if len(jump_rows):
            target[jump_rows] = self.bootstrap_target(parts, inputs.select_rows(jump_rows))
        return masked_mse(self.jump_velocity(parts, inputs) - target, build_signal_mask(batch))

    @torch.no_grad()
    def bootstrap_target(self, parts: Parts, inputs: JumpInputs) -> Tensor:
        """Return the mean velocity of each row's jump in two halves: jumps of the next level, or steps of the flow."""
        x, level_B = inputs.x, inputs.level_B
        is_shortest_B, half_length_B = level_B == self.num_levels - 1, 0.5 ** (level_B + 1)
        half = replace(inputs, level_B=torch.where(is_shortest_B, _VELOCITY_LEVEL, level_B + 1))
        first = self.mean_velocity(parts, half)
        midpoint = x + expand_rows(half_length_B, x) * first
        second = self.mean_velocity(parts, replace(half, x=midpoint, t_B=inputs.t_B + half_length_B))
        # The velocity at the midpoint is the mean to second order; two jumps are averaged.
        return torch.where(expand_rows(is_shortest_B, x), second, (first + second) / 2)

    def mean_velocity(self, parts: Parts, inputs: JumpInputs) -> Tensor:
        """Return the velocity of each row: that of its jump, or at level -1 that of the flow."""
        mean, is_flow_B = torch.empty_like(inputs.x), inputs.level_B == _VELOCITY_LEVEL
        for is_selected_B, compute in ((is_flow_B, self.guided_velocity), (~is_flow_B, self.jump_velocity)):
            if is_selected_B.any():
                mean[is_selected_B] = compute(parts, inputs.select_rows(is_selected_B))
        return mean

    def guided_velocity(self, parts: Parts, inputs: JumpInputs) -> Tensor:
        """Return the flow's velocity under classifier-free guidance (Ho and Salimans 2021, equation 6)."""
        cond_velocity = self.flow_velocity(parts, inputs)
        if inputs.cond is None or self.guidance_scale == 1:
            return cond_velocity
        uncond = inputs.cond.mask_rows(torch.zeros_like(inputs.t_B, dtype=torch.bool))
        uncond_velocity = self.flow_velocity(parts, replace(inputs, cond=uncond))
        return uncond_velocity + self.guidance_scale * (cond_velocity - uncond_velocity)

    def flow_velocity(self, parts: Parts, inputs: JumpInputs) -> Tensor:
        if self.teacher:
            lengths = build_length_kwargs(inputs.lengths_B)
            return self.teacher["model"](inputs.x, inputs.t_B, cond=inputs.cond, **lengths).float()
        return self.jump_velocity(parts, replace(inputs, level_B=torch.full_like(inputs.level_B, _VELOCITY_LEVEL)))

    def jump_velocity(self, parts: Parts, inputs: JumpInputs) -> Tensor:
        """Return the mean velocity of a jump of each row's level; at level -1, the velocity itself."""
        x, cond = inputs.x, inputs.cond or Condition()
        jump = F.one_hot(inputs.level_B + 1, self.num_levels + 1)[:, 1:].to(x)  # a zero vector means no jump
        if self.condition.vector:
            vector = x.new_zeros(len(x), self.condition.vector) if cond.vector is None else cond.vector.to(x)
            jump = torch.cat([vector, jump], 1)
        cond, lengths = replace(cond, vector=jump), build_length_kwargs(inputs.lengths_B)
        return parts["model"](x, inputs.t_B, cond=cond, **lengths).float()

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        """Yield the estimate of the data after every jump."""
        level = round(log2(params.steps))
        if level >= self.num_levels:
            raise GenloomError("objectives.steps_above_trained", maximum=2 ** (self.num_levels - 1), steps=params.steps)

        def velocity(network: nn.Module, x: Tensor, t_B: Tensor, lengths_B: Tensor | None) -> Tensor:
            level_B = torch.full((count,), level, device=x.device)
            return self.jump_velocity({"model": network}, JumpInputs(x, t_B, level_B, cond, lengths_B))

        yield from sample_path(parts["model"], velocity, self.space, count, noise, params.times, "euler", params)


def expand_rows(value_B: Tensor, x: Tensor) -> Tensor:
    return value_B.view(-1, *[1] * (x.ndim - 1))
