"""A state carried along the sequence (gated recurrent units); it fills causal roles over symbols.

Shape letters: B batch, L length, D width, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genloom.types import Condition, Role, Tokens


@dataclass(frozen=True)
class Config:
    width: int = 256
    depth: int = 2
    tied: bool = True
    norm_eps: float = 1e-5


def build(role: Role, config: Config) -> nn.Module:
    if not (isinstance(role.takes, Tokens) and role.causal):
        raise ValueError(f"The recurrent network reads symbols from left to right, and was asked to read {role.takes}.")
    if role.timed or role.cond.tokens or role.cond.field:
        raise ValueError(
            "The recurrent network reads a condition vector only; choose a transformer for times, prompts and fields."
        )
    return Recurrent(role, role.takes, config)


def sized(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder; what a person has set stays. Depth serves it less than width."""
    return {"width": 2 * width, **settings}


def kept(config: Config, length: int) -> int:
    """Numbers a position that a step of training keeps for its backward pass."""
    return config.depth * 10 * config.width


class Recurrent(nn.Module):
    """x is B L symbols; gives logits B L V, or B C for a role that gives a vector.

    Layers of gated recurrent units (Cho et al. 2014) with residuals.
    """

    def __init__(self, role: Role, takes: Tokens, config: Config):
        super().__init__()
        self.role, self.config = role, config
        D = config.width
        self.embed = nn.Embedding(takes.vocab, D)
        nn.init.normal_(self.embed.weight, std=0.02 if config.tied else 1.0)
        self.vector = nn.Linear(role.cond.vector, D, bias=False) if role.cond.vector else None
        self.norms = nn.ModuleList(nn.RMSNorm(D, config.norm_eps) for _ in range(config.depth))
        self.layers = nn.ModuleList(nn.GRU(D, D, batch_first=True) for _ in range(config.depth))
        self.norm = nn.RMSNorm(D, config.norm_eps)
        self.head = nn.Linear(
            D, role.gives.vocab if isinstance(role.gives, Tokens) else role.gives.channels, bias=False
        )
        if config.tied and isinstance(role.gives, Tokens):
            self.head.weight = self.embed.weight

    def start(self, count: int, length: int) -> "States":
        like = self.norm.weight
        states = [like.new_zeros(count, self.config.width) for _ in self.layers]
        return States(states, torch.zeros(count, dtype=torch.long, device=like.device))

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: "States | None" = None,
    ) -> Tensor:
        B, L = x.shape
        counts = torch.full((B,), L, device=x.device) if lengths is None else lengths
        rows = torch.arange(B, device=x.device)
        h_BLD = self.embed(x)
        if self.vector is not None and cond is not None and cond.vector is not None:
            h_BLD = h_BLD + self.vector(cond.vector.to(h_BLD.dtype))[:, None]
        for i, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            before = None if cache is None else cache.states[i][None]
            out_BLD, _ = layer(norm(h_BLD), before)
            if cache is not None:  # the state after the last real symbol of each row, not after its padding
                ended = out_BLD[rows, (counts - 1).clamp(min=0)]
                cache.states[i] = torch.where((counts > 0)[:, None], ended, cache.states[i])
            h_BLD = h_BLD + out_BLD
        if cache is not None:
            cache.lengths = cache.lengths + counts
        h_BLD = self.norm(h_BLD)
        return self.head(h_BLD if isinstance(self.role.gives, Tokens) else h_BLD[rows, counts - 1])


@dataclass
class States:
    """The state of every layer, B D each."""

    states: list[Tensor]
    lengths: Tensor

    def rows(self, rows: Tensor) -> "States":
        return States([s[rows] for s in self.states], self.lengths[rows])
