"""Fully connected layers; they fill any role between signals of fixed size.

Shape letters: B batch, C channels, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.networks.embedding import waves
from genloom.types import Condition, Role, Signal


@dataclass(frozen=True)
class Config:
    width: int = 128
    depth: int = 3


def build(role: Role, config: Config) -> nn.Module:
    if not (isinstance(role.takes, Signal) and isinstance(role.gives, Signal)):
        raise ValueError(
            f"The dense network maps signals to signals, and was asked to map {role.takes} to {role.gives}."
        )
    if role.cond.tokens:
        raise ValueError(
            "The dense network cannot attend to a prompt's states; choose a transformer, or give it a pooled vector."
        )
    return Dense(role, role.takes, role.gives, config)


def sized(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder; what a person has set stays."""
    return {"width": 2 * width, "depth": depth, **settings}


class Dense(nn.Module):
    """x is B C *size; gives B C' *size'. Time, vector and field conditions are read beside it."""

    def __init__(self, role: Role, takes: Signal, gives: Signal, config: Config):
        super().__init__()
        self.role, self.shape = role, (gives.channels, *gives.size)
        self.field = (role.cond.field, *takes.size) if role.cond.field else ()
        given = takes.channels * prod(takes.size) + (prod(self.field) if self.field else 0)
        self.enter = nn.Linear(given + 16 * role.timed + role.cond.vector, config.width)
        self.layers = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.depth - 1))
        self.head = nn.Linear(config.width, prod(self.shape))

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        h_BD = F.silu(self.enter(torch.cat(self.given(x, t, cond), 1)))
        for layer in self.layers:
            h_BD = F.silu(layer(h_BD))
        return self.head(h_BD).view(-1, *self.shape)

    def given(self, x: Tensor, t: Tensor | None, cond: Condition | None) -> list[Tensor]:
        dtype = self.enter.weight.dtype
        parts = [x.flatten(1).to(dtype)]
        if self.role.timed:
            assert t is not None, "this role is timed"
            parts.append(waves(t, 16).to(dtype))
        cond = cond or Condition()
        field_size = prod(self.field) if self.field else 0
        for value, size in ((cond.vector, self.role.cond.vector), (cond.field, field_size)):
            if size:
                parts.append(x.new_zeros(len(x), size).to(dtype) if value is None else value.flatten(1).to(dtype))
        return parts
