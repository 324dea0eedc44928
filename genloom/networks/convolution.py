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

from genloom.types import Cond, Condition, Role, Signal

SMALLEST = 4  # the side at which a picture becomes a vector, and a vector a picture


@dataclass(frozen=True)
class Config:
    width: int = 64  # channels at half the picture's side; doubled with every halving, at most fourfold
    shrink: int = 1  # residual blocks at each size on the way from a picture to a small grid
    grow: int = 2  # and on the way back


def build(role: Role, config: Config) -> "Convolution":
    takes, gives = role.takes, role.gives
    if not (isinstance(takes, Signal) and isinstance(gives, Signal)):
        raise ValueError(f"Convolutions map signals to signals, and were asked to map {takes} to {gives}.")
    if role.timed:
        raise ValueError("Convolutions that only shrink or grow a picture cannot refine it in time; choose unet.")
    return Convolution(role, takes, gives, config)


def sized(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder; what a person has set stays."""
    return {"width": max(16, width // 4), "shrink": max(1, depth // 4), "grow": max(1, depth // 2), **settings}


def halvings(larger: tuple[int, ...], smaller: tuple[int, ...]) -> int:
    """How often the sides of one grid are halved to give the other; () stands for a vector."""
    if not smaller:
        count = 0
        while all(side % 2 == 0 and side > SMALLEST for side in larger):
            larger, count = tuple(side // 2 for side in larger), count + 1
        return count
    count = (larger[0] // smaller[0]).bit_length() - 1 if len(larger) == len(smaller) == 2 else 0
    if larger != tuple(side << count for side in smaller):
        raise ValueError(
            f"Convolutions halve or double both sides of a grid, and cannot lead from {larger} to {smaller}; "
            "choose sides of a ratio of 2, 4, 8 …, or another network."
        )
    return count


class Convolution(nn.Module):
    """x is B C H W or B C; gives B C' H' W' or B C'. Vector, pooled prompt and field conditions are read beside it."""

    def __init__(self, role: Role, takes: Signal, gives: Signal, config: Config):
        super().__init__()
        grows = prod(gives.size) > prod(takes.size)
        larger, smaller = (gives.size, takes.size) if grows else (takes.size, gives.size)
        if len(larger) != 2:
            raise ValueError(f"Convolutions work on pictures, and the grid here is {larger}; choose another network.")
        count = halvings(larger, smaller)
        self.cond, self.to_vector = role.cond, not gives.size
        self.smallest = tuple(side >> count for side in larger)
        widths = [config.width * min(1 << level, 4) for level in range(max(count, 1))]
        widths = widths[::-1] if grows else widths
        first, last, given = widths[0], widths[-1], takes.channels + role.cond.field
        known = role.cond.vector + role.cond.tokens
        self.from_vector = first if not takes.size else 0
        if self.from_vector:
            self.enter = nn.Linear(given, first * prod(self.smallest))
        else:
            self.enter = same(given, first) if grows or not count else nn.Conv2d(given, first, 4, 2, 1)
        step = doubled if grows else halved
        self.steps = nn.ModuleList(step(a, b) for a, b in pairwise(widths))
        depth = config.grow if grows else config.shrink
        # Normalised, a bright picture and a faint one look alike, and a critic has no slope from one to the other.
        self.normed = normed if gives.size else as_it_is
        self.levels = nn.ModuleList(
            nn.ModuleList(Block(width, known, self.normed) for _ in range(depth)) for width in widths
        )
        if self.to_vector:
            self.head = nn.Linear(last * prod(self.smallest), gives.channels)
        elif grows and count:
            self.head = nn.ConvTranspose2d(last, gives.channels, 4, 2, 1)
        else:
            self.head = same(last, gives.channels)

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        h = F.silu(self.normed(self.features(x, cond)[-1]))
        return self.head(h.flatten(1) if self.to_vector else h)

    def features(self, x: Tensor, cond: Condition | None = None) -> list[Tensor]:
        """What the network sees at each size, B C H W each, in the order of its work."""
        x = x.to(self.enter.weight.dtype)
        known_BD = pooled(cond, self.cond, x)
        if self.cond.field:
            given = None if cond is None else cond.field
            blank = x.new_zeros(len(x), self.cond.field, *x.shape[2:])
            x = torch.cat([x, blank if given is None else given.to(x.dtype)], 1)
        h = self.enter(x if self.from_vector else x.contiguous(memory_format=torch.channels_last))
        if self.from_vector:
            h = h.view(len(x), *self.smallest, self.from_vector).permute(0, 3, 1, 2)
        found = []
        for i, blocks in enumerate(self.levels):
            h = self.steps[i - 1](h) if i else h
            for block in cast(nn.ModuleList, blocks):
                h = block(h, known_BD)
            found.append(h)
        return found


class Block(nn.Module):
    """Two convolutions beside the way straight on; a condition scales and shifts what they read."""

    def __init__(self, width: int, known: int, normed: Callable[[Tensor], Tensor]):
        super().__init__()
        self.normed = normed
        self.read, self.write = same(width, width), same(width, width)
        nn.init.zeros_(self.write.weight)  # so that a deep network starts as a shallow one
        self.tell = nn.Linear(known, 2 * width, bias=False) if known else None

    def forward(self, h: Tensor, known_BD: Tensor) -> Tensor:
        x = self.normed(h)
        if self.tell is not None:
            scale, shift = self.tell(known_BD)[:, :, None, None].chunk(2, 1)
            x = x * (1 + scale) + shift
        return h + self.write(F.silu(self.read(x)))


def as_it_is(h: Tensor) -> Tensor:
    return h


def normed(h: Tensor) -> Tensor:
    """Layer normalisation over the channels of each place, which no other place or row enters."""
    h = h.permute(0, 2, 3, 1)
    return F.layer_norm(h, h.shape[-1:]).permute(0, 3, 1, 2)


def pooled(cond: Condition | None, widths: Cond, like: Tensor) -> Tensor:
    """The condition's vector and the mean of the prompt's states side by side, B D; zeros for what is not there."""
    vector_BD, states_BD = like.new_zeros(len(like), widths.vector), like.new_zeros(len(like), widths.tokens)
    if cond is not None and widths.vector and cond.vector is not None:
        vector_BD = cond.vector.to(like.dtype)
    if cond is not None and widths.tokens and cond.tokens is not None:
        mask = cond.tokens.new_ones(cond.tokens.shape[:2], dtype=torch.bool) if cond.mask is None else cond.mask
        states = cond.tokens.masked_fill(~mask[:, :, None], 0).sum(1) / mask.sum(1).clamp(min=1)[:, None]
        states_BD = states.to(like.dtype)
    return torch.cat([vector_BD, states_BD], 1)


def same(given: int, gives: int) -> nn.Conv2d:
    return nn.Conv2d(given, gives, 3, padding=1)


def halved(given: int, gives: int) -> nn.Conv2d:
    return nn.Conv2d(given, gives, 2, stride=2)


def doubled(given: int, gives: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(given, gives, 2, stride=2)
