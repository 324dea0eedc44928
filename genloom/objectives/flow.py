"""Learn the velocity that carries noise to data along straight lines (flow matching)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.noise import Noise
from genloom.objectives.checks import check_options, check_settings
from genloom.objectives.sizes import build_length_kwargs, build_signal_mask, plan_size, resize_network, size_option
from genloom.objectives.solvers import SOLVERS, VelocityFn
from genloom.settings import option
from genloom.types import Batch, Condition, ConditionSpec, Loss, NetworkSpec, Parts, Phase, SignalSpace

MAX_SHIFT = 100
Time = TypeVar("Time", float, Tensor)
_NOISE, _TIME = 0, 1  # positions of the two draws of training; a sampler starts from the one at _NOISE
_HOLES = 2  # the position of the draw of the holes of training
_RESAMPLE = 2  # the position of the first draw of resampling; the others follow
TIME_DISTRIBUTIONS = ("logit-normal", "uniform")
TRAIN_DEFAULTS = {"ema_decay": 0.999}  # training settings unless a job sets others


@dataclass(frozen=True)
class SamplerInputs:
    """Data that a sampler of signals keeps or starts from; a tensor is broadcast to B C *size."""

    known_values: Tensor | None = None  # data to keep, except where `mask` is True
    mask: Tensor | None = None  # True where new data are generated to fit the known values
    init_values: Tensor | None = None  # data to make variations of
    strength: float = 1.0  # how far `init_values` are first moved towards noise: 0 keeps them, 1 ignores them

    def __post_init__(self) -> None:
        check_settings(self, {"strength": (0 <= self.strength <= 1, "from 0 (keep the input) to 1 (ignore it)")})
        if (self.known_values is None) != (self.mask is None):
            raise GenloomError("objectives.mask_without_known_values")


@dataclass(frozen=True)
class IntegrationParams:
    """Parameters of `integrate_velocity`."""

    steps: int = option(20, "Number of sampling steps; fewer are faster, more are finer.", minimum=1, maximum=10_000)
    resample_steps: int = option(
        0,
        "RePaint: how often each step is taken back and repeated, for a better fit to known values.",
        minimum=0,
        maximum=1000,
    )
    size: tuple[int, ...] = size_option()
    inputs: SamplerInputs = field(default_factory=SamplerInputs)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class SamplingParams(IntegrationParams):
    solver: str = option("multistep", "ODE solver.", choices=tuple(SOLVERS))
    shift: float = option(
        1.0,
        "Above 1: more of the steps near the noise, which large images need (Esser et al. 2024).",
        is_valid=lambda value: 0 < value <= MAX_SHIFT,
        requirement=f"above 0, at most {MAX_SHIFT}",
    )

    @property
    def times(self) -> list[float]:
        """The time steps from noise (0), or from the noised `init_values`, to data (1)."""
        t_start = 0.0 if self.inputs.init_values is None else 1 - self.inputs.strength
        steps = max(round(self.steps * (1 - t_start)), 1)
        return [t_start + (1 - t_start) * shift_time(i / steps, self.shift) for i in range(steps + 1)]


@dataclass(frozen=True)
class InversionParams:
    """Parameters of `Flow.invert`."""

    steps: int = 6
    start: float = 0.9  # the time of the samples: below 1, their errors are read as noise instead of being magnified

    def __post_init__(self) -> None:
        check_settings(self, {"steps": (self.steps >= 1, "at least 1"), "start": (0 < self.start <= 1, "from 0 to 1")})


@dataclass(frozen=True)
class Flow:
    space: SignalSpace
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    time_shift: float = 1.0  # above 1: more of the times of training near the noise, for samples in one or two steps
    times: str = "logit-normal"  # of training; "uniform" also trains the ends, as the last third of a long training may
    fill_rate: float = 0.0  # share of training samples with holes, whose surroundings the network is shown; 0: none
    phases = (Phase("model", ("model",)),)

    def __post_init__(self) -> None:
        check_settings(
            self,
            {
                "time_shift": (0 < self.time_shift <= MAX_SHIFT, f"above 0, at most {MAX_SHIFT}"),
                "times": (self.times in TIME_DISTRIBUTIONS, f"one of {', '.join(TIME_DISTRIBUTIONS)}"),
                "fill_rate": (0 <= self.fill_rate <= 1, "from 0 (no holes) to 1"),
            },
        )

    @property
    def nats_per_term(self) -> float:
        """The nats per term of the loss, for noise of variance 1: half the square of each number."""
        return self.space.channels * prod(self.space.size) / 2

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        channels = (2 * self.space.channels + 1) if self.fill_rate else self.space.channels
        input_space = replace(self.space, channels=channels)  # with holes: also what is known, and where
        return {"model": NetworkSpec(input_space, self.space, has_time=True, condition=self.condition)}

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        """Return the squared error of the velocity (Lipman, Liu et al. 2023).

        The times are logit-normal, and may be shifted (Esser et al. 2024), or uniform. In samples with holes, only what
        is in the holes counts.
        """
        noise_B = noise.normal(batch.x.shape[1:], _NOISE).to(batch.x.device)
        drawn_B = noise.normal((), _TIME)
        t_B = drawn_B.sigmoid() if self.times == "logit-normal" else torch.special.ndtr(drawn_B)
        t_B = shift_time(t_B.to(batch.x.device), self.time_shift)
        x, mask = lerp(noise_B, batch.x, t_B), build_signal_mask(batch)
        if self.fill_rate:
            is_known = draw_known(noise, self.space.size, self.fill_rate).to(batch.x.device)
            x = add_known(x, batch.x, is_known)
            mask = ~is_known if mask is None else mask & ~is_known
        velocity = parts["model"](x, t_B, cond=batch.cond, **build_length_kwargs(batch.lengths)).float()
        return masked_mse(velocity - (batch.x - noise_B), mask)

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        """Yield the estimate of the data after every step; the last one is the solution of the equation."""

        def velocity(network: nn.Module, x: Tensor, t_B: Tensor, lengths_B: Tensor | None) -> Tensor:
            x = self._add_inputs(x, params.inputs)
            return network(x, t_B, cond=cond, **build_length_kwargs(lengths_B)).float()

        yield from sample_path(parts["model"], velocity, self.space, count, noise, params.times, params.solver, params)

    def _add_inputs(self, x: Tensor, inputs: SamplerInputs) -> Tensor:
        """Return x with what the network of a flow with holes is shown: the known values, or that there are none."""
        if not self.fill_rate:
            return x
        if inputs.known_values is None or inputs.mask is None:
            return add_known(x, torch.zeros_like(x), x.new_zeros(len(x), *x.shape[2:], dtype=torch.bool))
        known_values, mask = (pad_first_axis(v.to(x), x.shape[2:]) for v in (inputs.known_values, inputs.mask))
        return add_known(x, known_values.expand_as(x), (mask == 0).expand_as(x)[:, 0])

    @torch.inference_mode()
    def invert(self, parts: Parts, x_B: Tensor, cond: Condition | None, params: InversionParams) -> Tensor:
        """Return estimates of the noise that `sample` began with, for samples B C *size.

        The equation is solved backwards by Euler's method. Samples that come from a decoder and an encoder have errors;
        the noise is known less where samples with different noise look alike.
        """
        space, length = self.space, x_B.shape[2] if self.space.size else 0
        size, _ = plan_size(space, tuple(x_B.shape[2:]))
        network = parts["model"] if size == space.size else resize_network(parts["model"], size)
        device = next(network.parameters()).device
        lengths_B = torch.full((len(x_B),), length, device=device) if size and length < size[0] else None
        x = params.start * pad_first_axis(x_B.float().to(device), size)
        times = [params.start * step / params.steps for step in range(params.steps, -1, -1)]
        for t, t_next in pairwise(times):
            x = (
                x
                + (t_next - t)
                * network(
                    self._add_inputs(x, SamplerInputs()),
                    x.new_full((len(x),), t),
                    cond=cond,
                    **build_length_kwargs(lengths_B),
                ).float()
            )
        return x if lengths_B is None else x[:, :, :length]


def sample_path(
    network: nn.Module,
    velocity: Callable[[nn.Module, Tensor, Tensor, Tensor | None], Tensor],
    space: SignalSpace,
    count: int,
    noise: Noise,
    times: list[float],
    solver: str,
    params: IntegrationParams,
) -> Iterator[Tensor]:
    """Yield the drafts of `count` samples; `velocity` has network, x, time and lengths.

    Their size is that in `params`, or in a space with lengths that of the data to start from.
    """
    source = params.inputs.init_values if params.inputs.known_values is None else params.inputs.known_values
    source_size = tuple(source.shape[-len(space.size) :]) if source is not None and space.has_lengths else ()
    size, length = plan_size(space, params.size or source_size)
    network = network if size == space.size else resize_network(network, size)
    device = next(network.parameters()).device
    lengths_B = torch.full((count,), length, device=device) if size and length < size[0] else None
    x = noise.marked_normal((space.channels, *size), _NOISE).to(device)
    for draft in integrate_velocity(
        lambda x, t: velocity(network, x, x.new_full((count,), t), lengths_B), x, noise, times, solver, params
    ):
        yield draft if lengths_B is None else draft[:, :, :length]


def integrate_velocity(
    velocity: VelocityFn,
    noise_B: Tensor,
    noise: Noise,
    times: list[float],
    solver: str,
    params: IntegrationParams,
) -> Iterator[Tensor]:
    """Solve the equation from `noise_B`, B C *size, and yield the estimate of the data after every step.

    Which settings give which published sampler, for velocities along straight lines:

    solver     shift  other parameters               sampler
    euler      1      -                              rectified flow (Liu et al. 2023); DDIM (Song et al. 2021a)
    euler      3      -                              Stable Diffusion 3 (Esser et al. 2024)
    heun       1      -                              Heun sampler of EDM, no churn (Karras et al. 2022, algorithm 1)
    multistep  1      -                              Adams-Bashforth of order 2; of order 4, PLMS (Liu et al. 2022)
    any        any    mask, resample_steps 0         replacement of known values (Song et al. 2021b, appendix I.2)
    any        any    mask, resample_steps n         RePaint (Lugmayr et al. 2022), jump length 1, n + 1 repetitions
    any        any    init_values, strength s        SDEdit (Meng et al. 2022) from time 1 - s
    euler      -      times of 2^k equal steps       shortcut models (Frans et al. 2024, algorithm 2)
    """
    solver_step, prev_step, draw = SOLVERS[solver], None, _RESAMPLE
    known_values, mask, init_values = (
        None if v is None else pad_first_axis(v.to(noise_B), noise_B.shape[2:])
        for v in (params.inputs.known_values, params.inputs.mask, params.inputs.init_values)
    )
    x = noise_B if init_values is None else lerp(noise_B, init_values.expand_as(noise_B), times[0])

    def apply_known(x: Tensor, t: float) -> Tensor:
        """Replace the known values in x, noised to the time t."""
        if known_values is None or mask is None:
            return x
        return torch.where(mask > 0, x, lerp(noise_B, known_values.expand_as(x), t))

    for t, t_next in pairwise(times):
        for _ in range(params.resample_steps if t_next < 1 else 0):
            # Back to t with fresh noise (RePaint, Lugmayr et al. 2022, algorithm 1), to blend new and known values.
            x, _, _ = solver_step(velocity, x, t, t_next, None)
            fresh_noise, draw = noise.normal(x.shape[1:], draw).to(x.device), draw + 1
            x, prev_step = apply_known(renoise_samples(apply_known(x, t_next), fresh_noise, t, t_next), t), None
        x, v, prev_step = solver_step(velocity, x, t, t_next, prev_step)
        x = apply_known(x, t_next)
        yield apply_known(x + (1 - t_next) * v, 1)


def draw_known(noise: Noise, size: tuple[int, ...], rate: float) -> Tensor:
    """Return which positions are known, B *size: none in most rows; in a share of `rate`, all but one or two holes.

    A hole is a box with sides from 15 to 75 % of the axis; in one of five rows with holes, it is what is known instead.
    """
    axes = len(size)
    draws = noise.uniform((4 * axes + 3,), _HOLES)
    boxes, (has_holes_B, has_second_B, is_inverted_B) = draws[:, : 4 * axes], draws[:, 4 * axes :].T
    in_box = []
    for box_B2A in boxes.view(len(draws), 2, 2, axes).unbind(1):
        place_BA, length_BA = box_B2A.unbind(1)
        inside = torch.ones(len(draws), *size, dtype=torch.bool)
        for axis, side in enumerate(size):
            length_B = (0.15 + 0.6 * length_BA[:, axis]) * side
            start_B = place_BA[:, axis] * (side - length_B)
            at = torch.arange(side) + 0.5
            along = (at >= start_B[:, None]) & (at <= (start_B + length_B)[:, None])
            inside &= along.view(len(draws), *[1] * axis, side, *[1] * (axes - axis - 1))
        in_box.append(inside)

    def per_row(flags_B: Tensor) -> Tensor:
        return flags_B.view(-1, *[1] * axes)

    is_hole = in_box[0] | (in_box[1] & per_row(has_second_B < 0.5))
    is_hole = is_hole ^ per_row(is_inverted_B < 0.2)
    return ~is_hole & per_row(has_holes_B < rate)


def add_known(x: Tensor, known_values: Tensor, is_known: Tensor) -> Tensor:
    """Return x, B C *size, with channels for the known values and for where they are known, B *size."""
    flags = is_known[:, None].to(x.dtype)
    return torch.cat([x, known_values.to(x.dtype) * flags, flags], 1)


def pad_first_axis(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Pad a signal that ends with the axes of `size` with zeros to that length on the first of them."""
    axes, padding = len(size), size[0] - x.shape[-len(size)] if size else 0
    return F.pad(x, (0, 0) * (axes - 1) + (0, padding)) if padding > 0 else x


def renoise_samples(x: Tensor, fresh_noise: Tensor, t: float, t_next: float) -> Tensor:
    """Noise x from the time `t_next` back to the time t: scale it down, and add the missing variance of t."""
    return t / t_next * x + ((1 - t) ** 2 - (t / t_next * (1 - t_next)) ** 2) ** 0.5 * fresh_noise


def lerp(noise: Tensor, data: Tensor, t: Tensor | float) -> Tensor:
    """Return the point at time t, a number or B, on the line from noise (0) to data (1)."""
    t = t if isinstance(t, float | int) else t.view(-1, *[1] * (data.ndim - 1))
    return (1 - t) * noise + t * data


def masked_mse(error: Tensor, mask: Tensor | None) -> Loss:
    """Return the mean square error of each row, B C *size, over the positions where its mask, B *size, is True."""
    squared_error, ones = error.square(), error.new_ones(len(error))
    if mask is None:
        return Loss(squared_error.flatten(1).mean(1), ones)
    loss_mask = mask.unsqueeze(1).expand_as(error).flatten(1).float()
    return Loss(
        (squared_error.flatten(1) * loss_mask).sum(1) / loss_mask.sum(1).clamp(min=1), (loss_mask.amax(1) > 0).float()
    )


def shift_time(t: Time, shift: float) -> Time:
    """Return times from 0 to 1 moved towards the noise, if `shift` is above 1."""
    return t / (t + shift * (1 - t))
