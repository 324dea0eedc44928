"""A U-Net (Ronneberger et al. 2015; Dhariwal and Nichol 2021): it refines a signal on its own grid, at several sizes.

Shape letters: B batch, C channels, N positions of a grid, S states of a prompt, E modulation width, H heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.networks.attention import build_row_slices, compute_attention
from genloom.networks.embedding import (
    ModulationEmbedding,
    PromptProjection,
    build_length_mask,
    concat_field,
    mask_padding,
    rescale_lengths,
)
from genloom.types import Condition, NetworkSpec, SignalSpace

CONV_BY_AXES: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Config:
    width: int = 64  # channels at the full size, a multiple of `norm_groups`
    channel_mult: tuple[int, ...] = (1, 2, 3)  # multiples of the width; each after the first halves the grid
    strides: tuple[int, ...] = ()  # factor of each axis at each halving, e.g. (1, 2, 2) for video; (): 2 on all axes
    num_res_blocks: int = 2  # at each size, on the way down and on the way up
    attention_max_positions: int = 256  # grids up to this size have attention, also to a prompt's states
    head_width: int = 32
    norm_groups: int = 8  # groups of channels in group normalization


def build(spec: NetworkSpec, config: Config) -> "UNet":
    input_space, output_space = spec.input, spec.output
    if not (
        isinstance(input_space, SignalSpace)
        and isinstance(output_space, SignalSpace)
        and 1 <= len(input_space.size) <= len(CONV_BY_AXES)
    ):
        raise GenloomError("networks.unet_spaces", input=input_space, output=output_space)
    if output_space.size not in (input_space.size, ()):
        raise GenloomError("networks.unet_output", input=input_space, output=output_space)
    halvings = len(config.channel_mult) - 1
    strides = config.strides or (2,) * len(input_space.size)
    if len(strides) != len(input_space.size) or not {1, 2} >= set(strides):
        raise GenloomError("networks.strides", strides=strides, grid=input_space.size)
    if not config.channel_mult or any(
        side % stride**halvings for side, stride in zip(input_space.size, strides, strict=True)
    ):
        raise GenloomError("networks.unet_halvings", grid=input_space.size, strides=strides, halvings=halvings)
    if any(
        config.width * multiplier % part
        for multiplier in config.channel_mult
        for part in (config.norm_groups, config.head_width)
    ):
        raise GenloomError(
            "networks.unet_width", width=config.width, norm_groups=config.norm_groups, head_width=config.head_width
        )
    return UNet(spec, input_space, output_space, config)


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the settings for one of the planner's model sizes; explicit settings win."""
    width = settings.get("width", max(width // 4 // 8 * 8, 8))
    head_width = next(k for k in (32, 16, 8, width) if width % k == 0)
    return {"width": width, "num_res_blocks": max(depth // 3, 1), "head_width": head_width, **settings}


class UNet(nn.Module):
    """Maps x, B C *size, to B C' *size, with skip connections from the down blocks to the up blocks.

    Of an output without a grid, B C', it returns the mean over the grid: a critic that looks everywhere.
    """

    def __init__(self, spec: NetworkSpec, input_space: SignalSpace, output_space: SignalSpace, config: Config):
        super().__init__()
        self.spec, axes = spec, len(input_space.size)
        self.strides = config.strides or (2,) * axes
        E, widths = 4 * config.width, [config.width * multiplier for multiplier in config.channel_mult]
        self.in_proj = build_conv(axes, input_space.channels + spec.condition.field, config.width)
        self.mod_embed = (
            ModulationEmbedding(spec.has_time, spec.condition.vector, E)
            if spec.has_time or spec.condition.vector
            else None
        )
        self.prompt_proj = PromptProjection(spec.condition.tokens, E) if spec.condition.tokens else None

        def build_block(in_width: int, width: int, level: int) -> ResidualBlock:
            has_attention = prod(input_space.size) // prod(self.strides) ** level <= config.attention_max_positions
            return ResidualBlock(axes, in_width, width, E, config, has_attention, has_prompt=spec.condition.tokens > 0)

        self.down_blocks, self.downsamplers, skip_widths = nn.ModuleList(), nn.ModuleList(), [config.width]
        in_width = config.width
        for level, width in enumerate(widths):
            if level:
                self.downsamplers.append(build_conv(axes, in_width, in_width, stride=self.strides))
                skip_widths.append(in_width)
            for _ in range(config.num_res_blocks):
                self.down_blocks.append(build_block(in_width, width, level))
                skip_widths.append(in_width := width)
        self.mid_block = build_block(in_width, in_width, len(widths) - 1)
        self.up_blocks, self.upsamplers = nn.ModuleList(), nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config.num_res_blocks + 1):
                self.up_blocks.append(build_block(in_width + skip_widths.pop(), width, level))
                in_width = width
            if level:
                self.upsamplers.append(build_conv(axes, in_width, in_width))
        self.num_res_blocks, self.has_grid = config.num_res_blocks, bool(output_space.size)
        self.norm = nn.GroupNorm(config.norm_groups, in_width)
        self.head = build_conv(axes, in_width, output_space.channels)
        nn.init.zeros_(self.head.weight)

    def at_size(self, size: tuple[int, ...]) -> "UNet":
        """Return the network for signals of this size; the same levels have attention."""
        if any(side % stride ** len(self.downsamplers) for side, stride in zip(size, self.strides, strict=True)):
            raise GenloomError(
                "networks.unet_halvings", grid=size, strides=self.strides, halvings=len(self.downsamplers)
            )
        return self

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        x = concat_field(x.to(self.in_proj.weight.dtype), cond, self.spec.condition.field)
        x = mask_padding(x, lengths)
        if x.ndim == 4:  # the fastest layout for convolutions
            x = x.contiguous(memory_format=torch.channels_last)
        h = mask_padding(self.in_proj(x), lengths)
        mod_BE = h.new_zeros(len(h), 4 * h.shape[1])
        if self.mod_embed is not None:
            mod_BE = self.mod_embed(t, cond, mod_BE)
        states_BSE, mask_BS = None, None
        if self.prompt_proj is not None and cond is not None and cond.tokens is not None:
            states_BSE, pooled_BE = self.prompt_proj(cond.tokens, cond.mask)
            mod_BE, mask_BS = mod_BE + pooled_BE, cond.mask
        mod_BE = F.silu(mod_BE)
        skips, level_lengths = [h], lengths
        for i, block in enumerate(self.down_blocks):
            if i and i % self.num_res_blocks == 0:
                h = self.downsamplers[i // self.num_res_blocks - 1](h)
                level_lengths = rescale_lengths(lengths, x.shape[2], h.shape[2])
                h = mask_padding(h, level_lengths)
                skips.append(h)
            h = block(h, mod_BE, states_BSE, mask_BS, level_lengths)
            skips.append(h)
        h = self.mid_block(h, mod_BE, states_BSE, mask_BS, level_lengths)
        for i, block in enumerate(self.up_blocks):
            if i and i % (self.num_res_blocks + 1) == 0:
                h = F.interpolate(h, scale_factor=[float(stride) for stride in self.strides], mode="nearest")
                level_lengths = rescale_lengths(lengths, x.shape[2], h.shape[2])
                h = self.upsamplers[i // (self.num_res_blocks + 1) - 1](mask_padding(h, level_lengths))
                h = mask_padding(h, level_lengths)
            h = block(torch.cat([h, skips.pop()], 1), mod_BE, states_BSE, mask_BS, level_lengths)
        out = self.head(F.silu(normalize_groups(self.norm, h, lengths)))
        return out if self.has_grid else average_positions(out, lengths)


class ResidualBlock(nn.Module):
    """Two convolutions with a residual connection and modulation, then attention if the grid is small."""

    def __init__(
        self,
        axes: int,
        in_channels: int,
        width: int,
        mod_width: int,
        config: Config,
        has_attention: bool,
        has_prompt: bool,
    ):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(config.norm_groups, in_channels), nn.GroupNorm(config.norm_groups, width)
        self.conv1, self.conv2 = build_conv(axes, in_channels, width), build_conv(axes, width, width)
        self.modulation = nn.Linear(mod_width, 2 * width)
        self.shortcut = build_conv(axes, in_channels, width, kernel_size=1) if in_channels != width else nn.Identity()
        self.attention = AttentionBlock(width, mod_width, config, has_prompt) if has_attention else None
        nn.init.zeros_(self.conv2.weight)

    def forward(
        self,
        x: Tensor,
        mod_BE: Tensor,
        states_BSE: Tensor | None,
        mask_BS: Tensor | None,
        lengths_B: Tensor | None = None,
    ) -> Tensor:
        scale, shift = self.modulation(mod_BE).view(len(x), -1, *[1] * (x.ndim - 2)).chunk(2, 1)
        h = self.conv1(F.silu(normalize_groups(self.norm1, x, lengths_B)))
        h = normalize_groups(self.norm2, h, lengths_B) * (1 + scale) + shift
        x = mask_padding(self.shortcut(x) + self.conv2(F.silu(mask_padding(h, lengths_B))), lengths_B)
        return x if self.attention is None else self.attention(x, states_BSE, mask_BS, lengths_B)


class AttentionBlock(nn.Module):
    """Attention of every position to all positions and a prompt's states in one softmax (GLIDE, Nichol et al. 2022)."""

    def __init__(self, width: int, states_width: int, config: Config, has_prompt: bool):
        super().__init__()
        self.K = config.head_width
        self.norm = nn.GroupNorm(config.norm_groups, width)
        self.qk_norms = nn.ModuleList(nn.RMSNorm(self.K) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.kv_proj = nn.Linear(states_width, 2 * width, bias=False) if has_prompt else None
        nn.init.zeros_(self.out.weight)

    def forward(
        self, x: Tensor, states_BSE: Tensor | None, mask_BS: Tensor | None, lengths_B: Tensor | None = None
    ) -> Tensor:
        h_BNC = normalize_groups(self.norm, x, lengths_B).flatten(2).mT
        B, N, C = h_BNC.shape
        q, k, v = self.qkv(h_BNC).view(B, N, 3, -1, self.K).permute(2, 0, 3, 1, 4)
        attn_mask = None
        if self.kv_proj is not None and states_BSE is not None:
            prompt_kv = self.kv_proj(states_BSE).view(B, -1, 2, C // self.K, self.K).permute(2, 0, 3, 1, 4)
            k, v = torch.cat([k, prompt_kv[0]], 2), torch.cat([v, prompt_kv[1]], 2)
            attn_mask = None if mask_BS is None else F.pad(mask_BS, (N, 0), value=True)[:, None, None]
        if lengths_B is not None:
            is_valid_BN = build_length_mask(x, lengths_B).expand(B, 1, *x.shape[2:]).flatten(1)
            valid_keys = F.pad(is_valid_BN, (0, k.shape[2] - N), value=True)[:, None, None]
            attn_mask = valid_keys if attn_mask is None else attn_mask & valid_keys
        out_BHNK = compute_attention(self.qk_norms[0](q), self.qk_norms[1](k), v, attn_mask)
        return mask_padding(x + self.out(out_BHNK.transpose(1, 2).reshape(B, N, C)).mT.reshape(x.shape), lengths_B)

    def adaptable_layers(self) -> dict[str, dict[str, slice]]:
        """Return the linear layers that adapters attach to: for each, the rows of every target."""
        C = self.out.out_features
        prompt_layers = {} if self.kv_proj is None else {"kv_proj": build_row_slices(k=C, v=C)}
        return {"qkv": build_row_slices(q=C, k=C, v=C), "out": build_row_slices(o=C), **prompt_layers}


def average_positions(x: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Return the mean of x, B C *size, over the positions that are not padding: B C."""
    if lengths_B is None:
        return x.flatten(2).mean(2)
    is_valid = build_length_mask(x, lengths_B).expand(len(x), 1, *x.shape[2:]).flatten(2)
    return (x.flatten(2) * is_valid).sum(2) / is_valid.sum(2)


def normalize_groups(norm: nn.GroupNorm, x: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Apply group normalization with the statistics of the positions that are not padding; those become zero."""
    if lengths_B is None:
        return norm(x)
    is_valid = build_length_mask(x, lengths_B)
    count_BG = x[0].numel() // norm.num_groups * is_valid.flatten(1).float().mean(1, keepdim=True)

    def mean_groups(values: Tensor) -> Tensor:
        mean_BG = (values * is_valid).float().reshape(len(x), norm.num_groups, -1).sum(2) / count_BG
        mean_BC = mean_BG.repeat_interleave(x.shape[1] // norm.num_groups, 1)
        return mean_BC.view(*mean_BC.shape, *[1] * (x.ndim - 2)).to(x.dtype)

    x = x - mean_groups(x)
    x = x * (mean_groups(x.square()) + norm.eps).rsqrt()
    weight, bias = (t.view(-1, *[1] * (x.ndim - 2)) for t in (norm.weight, norm.bias))
    return (x * weight + bias) * is_valid


def build_conv(
    axes: int, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int | tuple[int, ...] = 1
) -> nn.Conv1d | nn.Conv2d | nn.Conv3d:
    return CONV_BY_AXES[axes - 1](in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
