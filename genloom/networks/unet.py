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

from genloom.networks.attention import attend, spans
from genloom.networks.embedding import Inform, States
from genloom.types import Condition, Role, Signal

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)  # by axes


@dataclass(frozen=True)
class Config:
    width: int = 64  # channels at the full size, a multiple of `groups`
    levels: tuple[int, ...] = (1, 2, 3)  # times the width at each size; every one halves the grid before
    blocks: int = 2  # at each size, on the way down and on the way up
    attention: int = 256  # grids of up to so many positions are attended over, together with a prompt's states
    head_width: int = 32
    groups: int = 8  # of channels normed together


def build(role: Role, config: Config) -> "Unet":
    takes, gives = role.takes, role.gives
    if not (isinstance(takes, Signal) and isinstance(gives, Signal) and len(takes.size) in (1, 2)):
        raise ValueError(f"The unet reads signals of one or two axes, and was asked to map {takes} to {gives}.")
    if gives.size != takes.size:
        raise ValueError(f"The unet keeps the grid of {takes}, so {gives} needs another network, such as convolution.")
    halvings = len(config.levels) - 1
    if not config.levels or any(side % (1 << halvings) for side in takes.size):
        raise ValueError(
            f"The sides {takes.size} cannot be halved {halvings} times. "
            "Set network.levels to fewer numbers, as in [1, 2]."
        )
    if any(config.width * times % part for times in config.levels for part in (config.groups, config.head_width)):
        raise ValueError(
            f"A unet's width ({config.width}) must be a multiple of groups ({config.groups}) and of "
            f"head_width ({config.head_width})."
        )
    return Unet(role, takes, gives, config)


def sized(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder; what a person has set stays."""
    width = settings.get("width", max(width // 4 // 8 * 8, 8))
    head_width = next(k for k in (32, 16, 8, width) if width % k == 0)
    return {"width": width, "blocks": max(depth // 3, 1), "head_width": head_width, **settings}


class Unet(nn.Module):
    """x is B C *size; gives B C' *size. What is computed on the way down is seen again on the way up."""

    def __init__(self, role: Role, takes: Signal, gives: Signal, config: Config):
        super().__init__()
        self.role, axes = role, len(takes.size)
        E, widths = 4 * config.width, [config.width * times for times in config.levels]
        self.enter = convolution(axes, takes.channels + role.cond.field, config.width)
        self.inform = Inform(role.timed, role.cond.vector, E) if role.timed or role.cond.vector else None
        self.states = States(role.cond.tokens, E) if role.cond.tokens else None

        def stage(given: int, width: int, level: int) -> Stage:
            attentive = prod(takes.size) >> (axes * level) <= config.attention
            return Stage(axes, given, width, E, config, attentive, told=role.cond.tokens > 0)

        self.down, self.shrink, kept = nn.ModuleList(), nn.ModuleList(), [config.width]
        wide = config.width
        for level, width in enumerate(widths):
            if level:
                self.shrink.append(convolution(axes, wide, wide, stride=2))
                kept.append(wide)
            for _ in range(config.blocks):
                self.down.append(stage(wide, width, level))
                kept.append(wide := width)
        self.middle = stage(wide, wide, len(widths) - 1)
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config.blocks + 1):
                self.up.append(stage(wide + kept.pop(), width, level))
                wide = width
            if level:
                self.grow.append(convolution(axes, wide, wide))
        self.blocks = config.blocks
        self.norm = nn.GroupNorm(config.groups, wide)
        self.head = convolution(axes, wide, gives.channels)
        nn.init.zeros_(self.head.weight)

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        x = x.to(self.enter.weight.dtype)
        if width := self.role.cond.field:
            given = None if cond is None else cond.field
            x = torch.cat([x, x.new_zeros(len(x), width, *x.shape[2:]) if given is None else given.to(x.dtype)], 1)
        if x.ndim == 4:  # the layout that convolutions are fastest in
            x = x.contiguous(memory_format=torch.channels_last)
        h = self.enter(x)
        news_BE = h.new_zeros(len(h), 4 * h.shape[1])
        if self.inform is not None:
            news_BE = self.inform(t, cond, news_BE)
        states_BSE, mask_BS = None, None
        if self.states is not None and cond is not None and cond.tokens is not None:
            states_BSE, sum_BE = self.states(cond.tokens, cond.mask)
            news_BE, mask_BS = news_BE + sum_BE, cond.mask
        news_BE = F.silu(news_BE)
        kept = [h]
        for i, stage in enumerate(self.down):
            if i and i % self.blocks == 0:
                h = self.shrink[i // self.blocks - 1](h)
                kept.append(h)
            h = stage(h, news_BE, states_BSE, mask_BS)
            kept.append(h)
        h = self.middle(h, news_BE, states_BSE, mask_BS)
        for i, stage in enumerate(self.up):
            if i and i % (self.blocks + 1) == 0:
                h = self.grow[i // (self.blocks + 1) - 1](F.interpolate(h, scale_factor=2.0, mode="nearest"))
            h = stage(torch.cat([h, kept.pop()], 1), news_BE, states_BSE, mask_BS)
        return self.head(F.silu(self.norm(h)))


class Stage(nn.Module):
    """A residual block of two convolutions that the news scale and shift, and attention where the grid is small."""

    def __init__(self, axes: int, given: int, width: int, news: int, config: Config, attentive: bool, told: bool):
        super().__init__()
        self.norm, self.norm2 = nn.GroupNorm(config.groups, given), nn.GroupNorm(config.groups, width)
        self.first, self.second = convolution(axes, given, width), convolution(axes, width, width)
        self.modulate = nn.Linear(news, 2 * width)
        self.across = convolution(axes, given, width, side=1) if given != width else nn.Identity()
        self.attention = Attention(width, news, config, told) if attentive else None
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, news_BE: Tensor, states_BSE: Tensor | None, mask_BS: Tensor | None) -> Tensor:
        scale, shift = self.modulate(news_BE).view(len(x), -1, *[1] * (x.ndim - 2)).chunk(2, 1)
        h = self.norm2(self.first(F.silu(self.norm(x)))) * (1 + scale) + shift
        x = self.across(x) + self.second(F.silu(h))
        return x if self.attention is None else self.attention(x, states_BSE, mask_BS)


class Attention(nn.Module):
    """Every position sees all positions and a prompt's states in one softmax (GLIDE, Nichol et al. 2022)."""

    def __init__(self, width: int, states: int, config: Config, told: bool):
        super().__init__()
        self.K = config.head_width
        self.norm = nn.GroupNorm(config.groups, width)
        self.norms = nn.ModuleList(nn.RMSNorm(self.K) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.tell = nn.Linear(states, 2 * width, bias=False) if told else None
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, states_BSE: Tensor | None, mask_BS: Tensor | None) -> Tensor:
        h_BNC = self.norm(x).flatten(2).mT
        B, N, C = h_BNC.shape
        q, k, v = self.qkv(h_BNC).view(B, N, 3, -1, self.K).permute(2, 0, 3, 1, 4)
        allowed = None
        if self.tell is not None and states_BSE is not None:
            told = self.tell(states_BSE).view(B, -1, 2, C // self.K, self.K).permute(2, 0, 3, 1, 4)
            k, v = torch.cat([k, told[0]], 2), torch.cat([v, told[1]], 2)
            allowed = None if mask_BS is None else F.pad(mask_BS, (N, 0), value=True)[:, None, None]
        mixed = attend(self.norms[0](q), self.norms[1](k), v, allowed)
        return x + self.out(mixed.transpose(1, 2).reshape(B, N, C)).mT.reshape(x.shape)

    def adapts(self) -> dict[str, dict[str, slice]]:
        """The maps that adapters are attached to, by the rows of each."""
        C = self.out.out_features
        prompt = {} if self.tell is None else {"tell": spans(k=C, v=C)}
        return {"qkv": spans(q=C, k=C, v=C), "out": spans(o=C), **prompt}


def convolution(axes: int, given: int, width: int, side: int = 3, stride: int = 1) -> nn.Conv1d | nn.Conv2d:
    return CONVOLUTIONS[axes - 1](given, width, side, stride, padding=side // 2)
