"""Residual convolutions between grids: they downsample a signal to a small grid or a vector, or upsample one again.

Signals have one, two or three axes. Shape letters: B batch, C channels, D width of the condition.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from operator import mod
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.networks.embedding import concat_field, mask_padding, rescale_lengths
from genloom.types import Condition, ConditionSpec, NetworkSpec, SignalSpace

MIN_SIDE = 4  # the side of the grid between a signal and a vector
CONV_BY_AXES: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CONV_TRANSPOSE_BY_AXES: tuple[Any, ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
Strides = tuple[int, ...]  # the factor, 1 or 2, by which one step downsamples each axis


@dataclass(frozen=True)
class Config:
    width: int = 64  # channels at half the signal's size; each halving doubles them, up to 4 x width
    down_blocks: int = 1  # residual blocks at each size when downsampling
    up_blocks: int = 2  # residual blocks at each size when upsampling
    strides: Strides = ()  # to a vector: factor of each axis at each step, e.g. (1, 2, 2) for video; (): 2 on all axes


def build(spec: NetworkSpec, config: Config) -> "ConvNet":
    input_space, output_space = spec.input, spec.output
    if not (isinstance(input_space, SignalSpace) and isinstance(output_space, SignalSpace)):
        raise GenloomError("networks.convolution_spaces", input=input_space, output=output_space)
    if spec.has_time:
        raise GenloomError("networks.convolution_time")
    return ConvNet(spec, input_space, output_space, config)


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the settings for one of the planner's model sizes; explicit settings win."""
    return {
        "width": max(16, width // 4),
        "down_blocks": max(1, depth // 4),
        "up_blocks": max(1, depth // 2),
        **settings,
    }


def plan_strides(larger: tuple[int, ...], smaller: tuple[int, ...], strides: Strides) -> list[Strides]:
    """Return the strides of each step from `larger` to `smaller`; () stands for a vector, which `strides` lead to.

    Between grids the sizes decide. An axis that is halved fewer times than others is halved in the last steps.
    """
    if not smaller:
        strides = strides or (2,) * len(larger)
        if len(strides) != len(larger) or not {1, 2} >= set(strides) or 2 not in strides:
            raise GenloomError("networks.strides", strides=strides, grid=larger)
        count = 0
        halved_sides = [side for side, stride in zip(larger, strides, strict=True) if stride == 2]
        while all(side % 2 == 0 and side > MIN_SIDE for side in halved_sides):
            halved_sides, count = [side // 2 for side in halved_sides], count + 1
        return [strides] * count
    if len(larger) != len(smaller):
        raise GenloomError("networks.convolution_ratio", larger=larger, smaller=smaller)
    counts = [max(a // b, 1).bit_length() - 1 for a, b in zip(larger, smaller, strict=True)]
    if larger != tuple(side << count for side, count in zip(smaller, counts, strict=True)):
        raise GenloomError("networks.convolution_ratio", larger=larger, smaller=smaller)
    return [tuple(2 if left <= count else 1 for count in counts) for left in range(max(counts), 0, -1)]


class ConvNet(nn.Module):
    """Maps x, B C *size or B C, with vector, pooled prompt and field conditions to B C' *size' or B C'."""

    def __init__(self, spec: NetworkSpec, input_space: SignalSpace, output_space: SignalSpace, config: Config):
        super().__init__()
        is_upsampling = prod(output_space.size) > prod(input_space.size)
        larger, smaller = (
            (output_space.size, input_space.size) if is_upsampling else (input_space.size, output_space.size)
        )
        axes = len(larger)
        if not 1 <= axes <= len(CONV_BY_AXES):
            raise GenloomError("networks.convolution_axes", grid=larger)
        steps = plan_strides(larger, smaller, config.strides)
        self.condition_spec, self.is_vector_output = spec.condition, not output_space.size
        self.halvings = (1,) * axes if is_upsampling else tuple(prod(strides) for strides in zip(*steps, strict=True))
        self.min_size = tuple(side // prod(strides) for side, *strides in zip(larger, *steps, strict=True))
        widths = [config.width * min(1 << level, 4) for level in range(max(len(steps), 1))]
        widths = widths[::-1] if is_upsampling else widths
        first_width, last_width, in_channels = widths[0], widths[-1], input_space.channels + spec.condition.field
        cond_width = spec.condition.vector + spec.condition.tokens
        self.vector_channels = first_width if not input_space.size else 0
        self.in_proj: nn.Linear | Conv
        if self.vector_channels:
            self.in_proj = nn.Linear(in_channels, first_width * prod(self.min_size))
        else:
            self.in_proj = (
                build_conv(axes, in_channels, first_width)
                if is_upsampling or not steps
                else CONV_BY_AXES[axes - 1](in_channels, first_width, *choose_overlapping_kernel(steps[0]))
            )
        build_resampler = build_upsample if is_upsampling else build_downsample
        resampler_steps = steps[:0:-1] if is_upsampling else steps[1:]  # the first step is that of in_proj or the head
        self.resamplers = nn.ModuleList(
            build_resampler(a, b, strides) for (a, b), strides in zip(pairwise(widths), resampler_steps, strict=True)
        )
        depth = config.up_blocks if is_upsampling else config.down_blocks
        # No normalization in a critic: it would make bright and dark images equal, without a gradient between them.
        self.normalize = normalize_channels if output_space.size else keep_input
        self.levels = nn.ModuleList(
            nn.ModuleList(ResidualBlock(axes, width, cond_width, self.normalize) for _ in range(depth))
            for width in widths
        )
        if self.is_vector_output:
            self.head = nn.Linear(last_width * prod(self.min_size), output_space.channels)
        elif is_upsampling and steps:
            self.head = CONV_TRANSPOSE_BY_AXES[axes - 1](
                last_width, output_space.channels, *choose_overlapping_kernel(steps[0])
            )
        else:
            self.head = build_conv(axes, last_width, output_space.channels)

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        h = F.silu(self.normalize(self.forward_features(x, cond, lengths)[-1]))
        return self.head(h.flatten(1) if self.is_vector_output else h)

    def at_size(self, size: tuple[int, ...]) -> "ConvNet":
        """Return the network for inputs of this size: between grids, it reads any size that it can halve."""
        if self.vector_channels or self.is_vector_output or any(map(mod, size, self.halvings)):
            raise GenloomError("networks.size_is_fixed", size=size)
        return self

    def forward_features(self, x: Tensor, cond: Condition | None = None, lengths: Tensor | None = None) -> list[Tensor]:
        """Return the feature map at each size, B C *size each, in the order of computation; zero in padding."""
        x = x.to(self.in_proj.weight.dtype)
        cond_BD = pool_condition(cond, self.condition_spec, x)
        x = concat_field(x, cond, self.condition_spec.field)
        x, input_length = mask_padding(x, lengths), x.shape[-1] if x.ndim < 3 else x.shape[2]
        h = self.in_proj(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x)
        if self.vector_channels:
            h = h.view(len(x), *self.min_size, self.vector_channels).movedim(-1, 1)
        features = []
        for i, blocks in enumerate(self.levels):
            h = self.resamplers[i - 1](h) if i else h
            level_lengths = rescale_lengths(lengths, input_length, h.shape[2])
            h = mask_padding(h, level_lengths)
            for block in cast(nn.ModuleList, blocks):
                h = block(h, cond_BD, level_lengths)
            features.append(h)
        return features


class ResidualBlock(nn.Module):
    """Two convolutions with a residual connection; the condition scales and shifts their input."""

    def __init__(self, axes: int, width: int, cond_width: int, normalize: Callable[[Tensor], Tensor]):
        super().__init__()
        self.normalize = normalize
        self.conv1, self.conv2 = build_conv(axes, width, width), build_conv(axes, width, width)
        nn.init.zeros_(self.conv2.weight)  # so that the block starts as the identity
        self.modulation = nn.Linear(cond_width, 2 * width, bias=False) if cond_width else None

    def forward(self, h: Tensor, cond_BD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        x = self.normalize(h)
        if self.modulation is not None:
            scale, shift = self.modulation(cond_BD).view(len(h), -1, *[1] * (h.ndim - 2)).chunk(2, 1)
            x = mask_padding(x * (1 + scale) + shift, lengths_B)
        return mask_padding(h + self.conv2(F.silu(mask_padding(self.conv1(x), lengths_B))), lengths_B)


def keep_input(h: Tensor) -> Tensor:
    return h


def normalize_channels(h: Tensor) -> Tensor:
    """Apply layer normalization over the channels of each position, independent of other positions and rows."""
    h = h.movedim(1, -1)
    return F.layer_norm(h, h.shape[-1:]).movedim(-1, 1)


def pool_condition(cond: Condition | None, spec: ConditionSpec, like: Tensor) -> Tensor:
    """Return the condition's vector and the mean of the prompt's states, concatenated, B D; zeros for missing ones."""
    vector_BD, states_BD = like.new_zeros(len(like), spec.vector), like.new_zeros(len(like), spec.tokens)
    if cond is not None and spec.vector and cond.vector is not None:
        vector_BD = cond.vector.to(like.dtype)
    if cond is not None and spec.tokens and cond.tokens is not None:
        mask = cond.tokens.new_ones(cond.tokens.shape[:2], dtype=torch.bool) if cond.mask is None else cond.mask
        states = cond.tokens.masked_fill(~mask[:, :, None], 0).sum(1) / mask.sum(1).clamp(min=1)[:, None]
        states_BD = states.to(like.dtype)
    return torch.cat([vector_BD, states_BD], 1)


def build_conv(axes: int, in_channels: int, out_channels: int) -> Conv:
    return CONV_BY_AXES[axes - 1](in_channels, out_channels, 3, padding=1)


def build_downsample(in_channels: int, out_channels: int, strides: Strides) -> Conv:
    return CONV_BY_AXES[len(strides) - 1](in_channels, out_channels, strides, stride=strides)


def build_upsample(in_channels: int, out_channels: int, strides: Strides) -> nn.Module:
    return CONV_TRANSPOSE_BY_AXES[len(strides) - 1](in_channels, out_channels, strides, stride=strides)


def choose_overlapping_kernel(strides: Strides) -> tuple[Strides, Strides, int]:
    """Return the kernel size, stride and padding of a convolution that changes the size by `strides`."""
    return tuple(stride + 2 for stride in strides), strides, 1
