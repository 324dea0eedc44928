"""A U-Net (Ronneberger et al. 2015; Dhariwal and Nichol 2021): it refines a signal on its own grid, at several sizes.

Shape letters: B batch, C channels, N positions of a grid, S states of a prompt, E width of the news, H heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.networks.attention import attend, build_row_slices
from genloom.networks.embedding import ModulationEmbedding, PromptProjection
from genloom.types import Condition, NetworkSpec, SignalSpace

CONV_BY_AXES = (nn.Conv1d, nn.Conv2d)  # by axes


@dataclass(frozen=True)
class Config:
    width: int = 64  # channels at the full size, a multiple of `groups`
    channel_mult: tuple[int, ...] = (1, 2, 3)  # times the width at each size; every one halves the grid before
    num_res_blocks: int = 2  # at each size, on the way down and on the way up
    attention_max_positions: int = (
        256  # grids of up to so many positions are attended over, together with a prompt's states
    )
    head_width: int = 32
    norm_groups: int = 8  # of channels normed together


def build(spec: NetworkSpec, config: Config) -> "UNet":
    input_space, output_space = spec.input, spec.output
    if not (
        isinstance(input_space, SignalSpace)
        and isinstance(output_space, SignalSpace)
        and len(input_space.size) in (1, 2)
    ):
        raise ValueError(
            f"The unet reads signals of one or two axes, and was asked to map {input_space} to {output_space}."
        )
    if output_space.size != input_space.size:
        raise ValueError(
            f"The unet keeps the grid of {input_space}, so {output_space} needs another network, such as convolution."
        )
    halvings = len(config.channel_mult) - 1
    if not config.channel_mult or any(side % (1 << halvings) for side in input_space.size):
        raise ValueError(
            f"The sides {input_space.size} cannot be halved {halvings} times. "
            "Set network.channel_mult to fewer numbers, as in [1, 2]."
        )
    if any(
        config.width * multiplier % part
        for multiplier in config.channel_mult
        for part in (config.norm_groups, config.head_width)
    ):
        raise ValueError(
            f"A unet's width ({config.width}) must be a multiple of groups ({config.norm_groups}) and of "
            f"head_width ({config.head_width})."
        )
    return UNet(spec, input_space, output_space, config)


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder; what a person has set stays."""
    width = settings.get("width", max(width // 4 // 8 * 8, 8))
    head_width = next(k for k in (32, 16, 8, width) if width % k == 0)
    return {"width": width, "num_res_blocks": max(depth // 3, 1), "head_width": head_width, **settings}


class UNet(nn.Module):
    """x is B C *size; gives B C' *size. What is computed on the way down is seen again on the way up."""

    def __init__(self, spec: NetworkSpec, input_space: SignalSpace, output_space: SignalSpace, config: Config):
        super().__init__()
        self.spec, axes = spec, len(input_space.size)
        E, widths = 4 * config.width, [config.width * multiplier for multiplier in config.channel_mult]
        self.in_proj = build_conv(axes, input_space.channels + spec.condition.field, config.width)
        self.mod_embed = (
            ModulationEmbedding(spec.has_time, spec.condition.vector, E)
            if spec.has_time or spec.condition.vector
            else None
        )
        self.prompt_proj = PromptProjection(spec.condition.tokens, E) if spec.condition.tokens else None

        def build_block(in_width: int, width: int, level: int) -> ResidualBlock:
            has_attention = prod(input_space.size) >> (axes * level) <= config.attention_max_positions
            return ResidualBlock(axes, in_width, width, E, config, has_attention, has_prompt=spec.condition.tokens > 0)

        self.down_blocks, self.downsamplers, skip_widths = nn.ModuleList(), nn.ModuleList(), [config.width]
        in_width = config.width
        for level, width in enumerate(widths):
            if level:
                self.downsamplers.append(build_conv(axes, in_width, in_width, stride=2))
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
        self.num_res_blocks = config.num_res_blocks
        self.norm = nn.GroupNorm(config.norm_groups, in_width)
        self.get_head = build_conv(axes, in_width, output_space.channels)
        nn.init.zeros_(self.get_head.weight)

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        x = x.to(self.in_proj.weight.dtype)
        if width := self.spec.condition.field:
            field = None if cond is None else cond.field
            x = torch.cat([x, x.new_zeros(len(x), width, *x.shape[2:]) if field is None else field.to(x.dtype)], 1)
        if x.ndim == 4:  # the layout that convolutions are fastest in
            x = x.contiguous(memory_format=torch.channels_last)
        h = self.in_proj(x)
        mod_BE = h.new_zeros(len(h), 4 * h.shape[1])
        if self.mod_embed is not None:
            mod_BE = self.mod_embed(t, cond, mod_BE)
        states_BSE, mask_BS = None, None
        if self.prompt_proj is not None and cond is not None and cond.tokens is not None:
            states_BSE, pooled_BE = self.prompt_proj(cond.tokens, cond.mask)
            mod_BE, mask_BS = mod_BE + pooled_BE, cond.mask
        mod_BE = F.silu(mod_BE)
        skips = [h]
        for i, block in enumerate(self.down_blocks):
            if i and i % self.num_res_blocks == 0:
                h = self.downsamplers[i // self.num_res_blocks - 1](h)
                skips.append(h)
            h = block(h, mod_BE, states_BSE, mask_BS)
            skips.append(h)
        h = self.mid_block(h, mod_BE, states_BSE, mask_BS)
        for i, block in enumerate(self.up_blocks):
            if i and i % (self.num_res_blocks + 1) == 0:
                h = self.upsamplers[i // (self.num_res_blocks + 1) - 1](
                    F.interpolate(h, scale_factor=2.0, mode="nearest")
                )
            h = block(torch.cat([h, skips.pop()], 1), mod_BE, states_BSE, mask_BS)
        return self.get_head(F.silu(self.norm(h)))


class ResidualBlock(nn.Module):
    """A residual block of two convolutions that the news scale and shift, and attention where the grid is small."""

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

    def forward(self, x: Tensor, mod_BE: Tensor, states_BSE: Tensor | None, mask_BS: Tensor | None) -> Tensor:
        scale, shift = self.modulation(mod_BE).view(len(x), -1, *[1] * (x.ndim - 2)).chunk(2, 1)
        h = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        x = self.shortcut(x) + self.conv2(F.silu(h))
        return x if self.attention is None else self.attention(x, states_BSE, mask_BS)


class AttentionBlock(nn.Module):
    """Every position sees all positions and a prompt's states in one softmax (GLIDE, Nichol et al. 2022)."""

    def __init__(self, width: int, states_width: int, config: Config, has_prompt: bool):
        super().__init__()
        self.K = config.head_width
        self.norm = nn.GroupNorm(config.norm_groups, width)
        self.qk_norms = nn.ModuleList(nn.RMSNorm(self.K) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.kv_proj = nn.Linear(states_width, 2 * width, bias=False) if has_prompt else None
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, states_BSE: Tensor | None, mask_BS: Tensor | None) -> Tensor:
        h_BNC = self.norm(x).flatten(2).mT
        B, N, C = h_BNC.shape
        q, k, v = self.qkv(h_BNC).view(B, N, 3, -1, self.K).permute(2, 0, 3, 1, 4)
        attn_mask = None
        if self.kv_proj is not None and states_BSE is not None:
            prompt_kv = self.kv_proj(states_BSE).view(B, -1, 2, C // self.K, self.K).permute(2, 0, 3, 1, 4)
            k, v = torch.cat([k, prompt_kv[0]], 2), torch.cat([v, prompt_kv[1]], 2)
            attn_mask = None if mask_BS is None else F.pad(mask_BS, (N, 0), value=True)[:, None, None]
        out_BHNK = attend(self.qk_norms[0](q), self.qk_norms[1](k), v, attn_mask)
        return x + self.out(out_BHNK.transpose(1, 2).reshape(B, N, C)).mT.reshape(x.shape)

    def adaptable_layers(self) -> dict[str, dict[str, slice]]:
        """The maps that adapters are attached to, by the rows of each."""
        C = self.out.out_features
        prompt_layers = {} if self.kv_proj is None else {"kv_proj": build_row_slices(k=C, v=C)}
        return {"qkv": build_row_slices(q=C, k=C, v=C), "out": build_row_slices(o=C), **prompt_layers}


def build_conv(
    axes: int, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
) -> nn.Conv1d | nn.Conv2d:
    return CONV_BY_AXES[axes - 1](in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
