"""A transformer over the patches of a grid (DiT, Peebles and Xie 2023) that reads a prompt's states beside them.

Shape letters: B batch, C channels, N patches, S states of the prompt, L = S + N, D width, H heads, K head width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.networks.attention import attend, rotate, spans
from genloom.networks.embedding import Inform, States
from genloom.types import Condition, Role, Signal

SHARE = 8  # every so manieth feature comes from the neighbour on a side


@dataclass(frozen=True)
class Config:
    width: int = 256
    depth: int = 6
    head_width: int = 64
    patch: int = 2  # places of each axis that one position reads
    hidden: int = 0  # of SwiGLU; 0: 8/3 x width, rounded up to 32
    norm_eps: float = 1e-5


def build(role: Role, config: Config) -> "Dit":
    if not (isinstance(role.takes, Signal) and isinstance(role.gives, Signal) and role.takes.size):
        raise ValueError(f"The dit reads signals on a grid, and was asked to map {role.takes} to {role.gives}.")
    if role.gives.size != role.takes.size:
        raise ValueError(f"The dit keeps the grid of {role.takes}, so {role.gives} needs another network.")
    if config.patch < 1 or any(n % config.patch for n in role.takes.size):
        raise ValueError(f"patch ({config.patch}) must divide the grid {role.takes.size}. Set network.patch to 1 or 2.")
    if min(config.width, config.head_width, config.depth) < 1:
        raise ValueError(
            "A dit's width, head_width and depth must be 1 or more, "
            f"got {config.width}, {config.head_width} and {config.depth}."
        )
    if config.width % config.head_width or config.head_width % (2 * len(role.takes.size)):
        raise ValueError(
            f"A dit's width must be a multiple of head_width, and that of {2 * len(role.takes.size)}, "
            f"got width {config.width}, head_width {config.head_width}."
        )
    return Dit(role, role.takes, role.gives, config)


def sized(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder; what a person has set stays."""
    width = settings.get("width", width)
    head_width = next(k for k in (64, 48, 32, 16, 8, 4, width) if width % k == 0)
    return {"width": width, "depth": depth, "head_width": head_width, **settings}


class Dit(nn.Module):
    """x is B C *size; gives B C' *size. A prompt's states go through all blocks beside the patches."""

    def __init__(self, role: Role, takes: Signal, gives: Signal, config: Config):
        super().__init__()
        self.role, self.config = role, config
        self.grid = tuple(n // config.patch for n in takes.size)
        self.gives = gives.channels
        D, each = config.width, config.patch ** len(takes.size)
        self.enter = nn.Linear((takes.channels + role.cond.field) * each, D)
        self.places = nn.Embedding(prod(self.grid), D)
        nn.init.normal_(self.places.weight, std=0.02)
        self.states = States(role.cond.tokens, D) if role.cond.tokens else None
        self.inform = Inform(role.timed, role.cond.vector, D) if role.timed or role.cond.vector else None
        self.modulate = nn.Linear(D, 6 * D)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        self.blocks = nn.ModuleList(Block(config, self.grid) for _ in range(config.depth))
        self.skips = nn.ParameterList(nn.Parameter(torch.zeros(D)) for _ in range(config.depth // 2))
        self.norm = nn.RMSNorm(D, config.norm_eps)
        self.head = nn.Linear(D, gives.channels * each)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        h_BLD = self.enter(self.cut(x, cond)) + self.places.weight
        N = h_BLD.shape[1]
        news_BD = h_BLD.new_zeros(len(x), self.config.width) if self.inform is None else self.inform(t, cond, h_BLD)
        allowed, S = None, 0
        if self.states is not None and cond is not None and cond.tokens is not None:
            states_BSD, sum_BD = self.states(cond.tokens, cond.mask)
            h_BLD, news_BD, S = torch.cat([states_BSD, h_BLD], 1), news_BD + sum_BD, states_BSD.shape[1]
            allowed = None if cond.mask is None else F.pad(cond.mask, (0, N), value=True)[:, None, None]
        angles = rotations(S, self.grid, self.config.head_width, h_BLD)
        changes_BD = self.modulate(F.silu(news_BD))
        earlier: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            if i >= len(self.blocks) - len(self.skips):  # long skips (U-ViT, Bao et al. 2023)
                h_BLD = h_BLD + self.skips[len(earlier) - 1] * earlier.pop()
            h_BLD = block(h_BLD, angles, allowed, changes_BD)
            if i < len(self.skips):
                earlier.append(h_BLD)
        return self.joined(self.head(self.norm(h_BLD[:, S:])))

    def cut(self, x: Tensor, cond: Condition | None) -> Tensor:
        """Patches of the signal, and of the field beside it, as rows of numbers: B N (C x patch ^ axes)."""
        x = x.to(self.enter.weight.dtype)
        if width := self.role.cond.field:
            given = None if cond is None else cond.field
            x = torch.cat([x, x.new_zeros(len(x), width, *x.shape[2:]) if given is None else given.to(x.dtype)], 1)
        axes, patch = len(self.grid), self.config.patch
        x = x.view(*x.shape[:2], *(n for side in self.grid for n in (side, patch)))
        sides, insides = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
        return x.permute(0, *sides, 1, *insides).reshape(len(x), prod(self.grid), -1)

    def joined(self, rows: Tensor) -> Tensor:
        """The grid that patches make up: what `cut` undoes."""
        axes, patch = len(self.grid), self.config.patch
        x = rows.view(len(rows), *self.grid, self.gives, *[patch] * axes)
        pairs = (place for i in range(axes) for place in (1 + i, 2 + axes + i))
        return x.permute(0, 1 + axes, *pairs).reshape(len(x), self.gives, *(patch * n for n in self.grid))


class Block(nn.Module):
    """Attention and SwiGLU; one map serves the modulation of all blocks, and each adds its own constant (PixArt).

    What both read of a patch is in part its neighbours', which is as near to a convolution as one gets for nothing
    (Wang et al. 2022, "When shift operation meets vision transformer").
    """

    def __init__(self, config: Config, grid: tuple[int, ...]):
        super().__init__()
        D, self.K, self.grid = config.width, config.head_width, grid
        hidden = config.hidden or -(-8 * D // 3 // 32) * 32
        self.norms = nn.ModuleList(nn.RMSNorm(D, config.norm_eps, elementwise_affine=False) for _ in range(2))
        self.norms_qk = nn.ModuleList(nn.RMSNorm(self.K, config.norm_eps) for _ in range(2))
        self.changes = nn.Parameter(torch.zeros(6 * D))
        self.qkv, self.out = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.up, self.down = nn.Linear(D, 2 * hidden, bias=False), nn.Linear(hidden, D, bias=False)
        for enter, leave in ((self.qkv, self.out), (self.up, self.down)):
            nn.init.normal_(enter.weight, std=D**-0.5)
            nn.init.zeros_(leave.weight)

    def forward(
        self, h_BLD: Tensor, angles: tuple[Tensor, Tensor], allowed: Tensor | None, changes_BD: Tensor
    ) -> Tensor:
        changes = (changes_BD + self.changes)[:, None].chunk(6, -1)
        shift, scale, gate, shift2, scale2, gate2 = changes
        seen = blended(self.norms[0](h_BLD) * (1 + scale) + shift, self.grid)
        h_BLD = h_BLD + (1 + gate) * self.mixed(seen, angles, allowed)
        a, b = self.up(blended(self.norms[1](h_BLD) * (1 + scale2) + shift2, self.grid)).chunk(2, -1)
        return h_BLD + (1 + gate2) * self.down(F.silu(a) * b)

    def mixed(self, h_BLD: Tensor, angles: tuple[Tensor, Tensor], allowed: Tensor | None) -> Tensor:
        B, L, D = h_BLD.shape
        q, k, v = self.qkv(h_BLD).view(B, L, 3, -1, self.K).permute(2, 0, 3, 1, 4)
        q, k = rotate(self.norms_qk[0](q), angles), rotate(self.norms_qk[1](k), angles)
        return self.out(attend(q, k, v, allowed).transpose(1, 2).reshape(B, L, D))

    def adapts(self) -> dict[str, dict[str, slice]]:
        """The maps that adapters are attached to, by the rows of each."""
        D, hidden = self.out.out_features, self.down.in_features
        attention = {"qkv": spans(q=D, k=D, v=D), "out": spans(o=D)}
        return {**attention, "up": spans(gate=hidden, up=hidden), "down": spans(down=D)}


def blended(h_BLD: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Patches of which a few features are those of the next patch on each side; zero beyond the edge."""
    count = prod(grid)
    words, patches = h_BLD[:, :-count], h_BLD[:, -count:].unflatten(1, grid)
    few = h_BLD.shape[2] // SHARE
    moving = patches[..., : 2 * len(grid) * few].split(few, -1)
    moved = [beside(part, axis=1 + i // 2, before=i % 2 == 0) for i, part in enumerate(moving)]
    blend = torch.cat([*moved, patches[..., 2 * len(grid) * few :]], -1)
    return torch.cat([words, blend.flatten(1, -2)], 1)


def beside(x: Tensor, axis: int, before: bool) -> Tensor:
    """What the neighbours on one side hold."""
    rest, edge = x.narrow(axis, 0 if before else 1, x.shape[axis] - 1), torch.zeros_like(x.narrow(axis, 0, 1))
    return torch.cat([edge, rest] if before else [rest, edge], axis)


def rotations(states: int, grid: tuple[int, ...], width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (L, K) that turn queries and keys by their place on each axis (Su et al. 2021).

    The states of a prompt lie on the diagonal that leads away from the first patch.
    """
    axes = len(grid)
    rates = 100.0 ** (-torch.arange(0, width // 2, axes, device=like.device) / (width // 2))
    patches = torch.cartesian_prod(*(torch.arange(n, device=like.device) for n in grid)).view(-1, axes)
    words = -torch.arange(1, states + 1, device=like.device)[:, None].expand(-1, axes)
    turns = (torch.cat([words, patches])[:, :, None] * rates).flatten(1)
    both = torch.cat([turns, turns], -1)
    return both.cos().to(like.dtype), both.sin().to(like.dtype)
