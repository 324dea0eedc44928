"""Residual convolutions between grids: they shrink a picture to a small grid or a vector, and build one up again.

Shape letters: B batch, C channels, H height, W width, D width of the condition.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.types import Condition, ConditionSpec, NetworkSpec, SignalSpace

MIN_SIDE = 4  # the side at which a picture becomes a vector, and a vector a picture


@dataclass(frozen=True)
class Config:
    width: int = 64  # channels at half the picture's side; doubled with every halving, at most fourfold
    down_blocks: int = 1  # residual blocks at each size on the way from a picture to a small grid
    up_blocks: int = 2  # and on the way back


def build(spec: NetworkSpec, config: Config) -> "ConvNet":
    input_space, output_space = spec.input, spec.output
    if not (isinstance(input_space, SignalSpace) and isinstance(output_space, SignalSpace)):
        raise ValueError(f"Convolutions map signals to signals, and were asked to map {input_space} to {output_space}.")
    if spec.has_time:
        raise ValueError("Convolutions that only shrink or grow a picture cannot refine it in time; choose unet.")
    return ConvNet(spec, input_space, output_space, config)


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder; what a person has set stays."""
    return {
        "width": max(16, width // 4),
        "down_blocks": max(1, depth // 4),
        "up_blocks": max(1, depth // 2),
        **settings,
    }


def count_halvings(larger: tuple[int, ...], smaller: tuple[int, ...]) -> int:
    """How often the sides of one grid are halved to give the other; () stands for a vector."""
    if not smaller:
        count = 0
        while all(side % 2 == 0 and side > MIN_SIDE for side in larger):
            larger, count = tuple(side // 2 for side in larger), count + 1
        return count
    count = (larger[0] // smaller[0]).bit_length() - 1 if len(larger) == len(smaller) == 2 else 0
    if larger != tuple(side << count for side in smaller):
        raise ValueError(
            f"Convolutions halve or double both sides of a grid, and cannot lead from {larger} to {smaller}; "
            "choose sides of a ratio of 2, 4, 8 …, or another network."
        )
    return count


class ConvNet(nn.Module):
    """x is B C H W or B C; gives B C' H' W' or B C'. Vector, pooled prompt and field conditions are read beside it."""

    def __init__(self, spec: NetworkSpec, input_space: SignalSpace, output_space: SignalSpace, config: Config):
        super().__init__()
        is_upsampling = prod(output_space.size) > prod(input_space.size)
        larger, smaller = (
            (output_space.size, input_space.size) if is_upsampling else (input_space.size, output_space.size)
        )
        if len(larger) != 2:
            raise ValueError(f"Convolutions work on pictures, and the grid here is {larger}; choose another network.")
        num_halvings = count_halvings(larger, smaller)
        self.condition_spec, self.is_vector_output = spec.condition, not output_space.size
        self.min_size = tuple(side >> num_halvings for side in larger)
        widths = [config.width * min(1 << level, 4) for level in range(max(num_halvings, 1))]
        widths = widths[::-1] if is_upsampling else widths
        first_width, last_width, in_channels = widths[0], widths[-1], input_space.channels + spec.condition.field
        cond_width = spec.condition.vector + spec.condition.tokens
        self.vector_channels = first_width if not input_space.size else 0
        if self.vector_channels:
            self.in_proj = nn.Linear(in_channels, first_width * prod(self.min_size))
        else:
            self.in_proj = (
                build_conv3x3(in_channels, first_width)
                if is_upsampling or not num_halvings
                else nn.Conv2d(in_channels, first_width, 4, 2, 1)
            )
        build_resampler = build_upsample if is_upsampling else build_downsample
        self.resamplers = nn.ModuleList(step(a, b) for a, b in pairwise(widths))
        depth = config.up_blocks if is_upsampling else config.down_blocks
        # Normalised, a bright picture and a faint one look alike, and a critic has no slope from one to the other.
        self.normalize = normalize_channels if output_space.size else identity
        self.levels = nn.ModuleList(
            nn.ModuleList(ResidualBlock(width, cond_width, self.normalize) for _ in range(depth)) for width in widths
        )
        if self.is_vector_output:
            self.get_head = nn.Linear(last_width * prod(self.min_size), output_space.channels)
        elif is_upsampling and num_halvings:
            self.get_head = nn.ConvTranspose2d(last_width, output_space.channels, 4, 2, 1)
        else:
            self.get_head = build_conv3x3(last_width, output_space.channels)

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        h = F.silu(self.normalize_channels(self.forward_features(x, cond)[-1]))
        return self.get_head(h.flatten(1) if self.is_vector_output else h)

    def forward_features(self, x: Tensor, cond: Condition | None = None) -> list[Tensor]:
        """What the network sees at each size, B C H W each, in the order of its work."""
        x = x.to(self.in_proj.weight.dtype)
        cond_BD = pool_condition(cond, self.condition_spec, x)
        if self.condition_spec.field:
            field = None if cond is None else cond.field
            blank = x.new_zeros(len(x), self.condition_spec.field, *x.shape[2:])
            x = torch.cat([x, blank if field is None else field.to(x.dtype)], 1)
        h = self.in_proj(x if self.vector_channels else x.contiguous(memory_format=torch.channels_last))
        if self.vector_channels:
            h = h.view(len(x), *self.min_size, self.vector_channels).permute(0, 3, 1, 2)
        features = []
        for i, blocks in enumerate(self.levels):
            h = self.resamplers[i - 1](h) if i else h
            for block in cast(nn.ModuleList, blocks):
                h = block(h, cond_BD)
            features.append(h)
        return features


class ResidualBlock(nn.Module):
    """Two convolutions beside the way straight on; a condition scales and shifts what they read."""

    def __init__(self, width: int, cond_width: int, normalize: Callable[[Tensor], Tensor]):
        super().__init__()
        self.normalize = normalize
        self.conv1, self.conv2 = build_conv3x3(width, width), build_conv3x3(width, width)
        nn.init.zeros_(self.conv2.weight)  # so that a deep network starts as a shallow one
        self.modulation = nn.Linear(cond_width, 2 * width, bias=False) if cond_width else None

    def forward(self, h: Tensor, cond_BD: Tensor) -> Tensor:
        x = self.normalize(h)
        if self.modulation is not None:
            scale, shift = self.modulation(cond_BD)[:, :, None, None].chunk(2, 1)
            x = x * (1 + scale) + shift
        return h + self.conv2(F.silu(self.conv1(x)))


def identity(h: Tensor) -> Tensor:
    return h


def normalize_channels(h: Tensor) -> Tensor:
    """Layer normalisation over the channels of each place, which no other place or row enters."""
    h = h.permute(0, 2, 3, 1)
    return F.layer_norm(h, h.shape[-1:]).permute(0, 3, 1, 2)


def pool_condition(cond: Condition | None, spec: ConditionSpec, like: Tensor) -> Tensor:
    """The condition's vector and the mean of the prompt's states side by side, B D; zeros for what is not there."""
    vector_BD, states_BD = like.new_zeros(len(like), spec.vector), like.new_zeros(len(like), spec.tokens)
    if cond is not None and spec.vector and cond.vector is not None:
        vector_BD = cond.vector.to(like.dtype)
    if cond is not None and spec.tokens and cond.tokens is not None:
        mask = cond.tokens.new_ones(cond.tokens.shape[:2], dtype=torch.bool) if cond.mask is None else cond.mask
        states = cond.tokens.masked_fill(~mask[:, :, None], 0).sum(1) / mask.sum(1).clamp(min=1)[:, None]
        states_BD = states.to(like.dtype)
    return torch.cat([vector_BD, states_BD], 1)


def build_conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def build_downsample(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 2, stride=2)


def build_upsample(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
