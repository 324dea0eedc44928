"""Fully connected layers, for any spec between signals of fixed size.

Shape letters: B batch, C channels, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.networks.embedding import mask_padding, timestep_embedding
from genloom.types import Condition, NetworkSpec, SignalSpace


@dataclass(frozen=True)
class Config:
    width: int = 128
    depth: int = 3


def build(spec: NetworkSpec, config: Config) -> nn.Module:
    if not (isinstance(spec.input, SignalSpace) and isinstance(spec.output, SignalSpace)):
        raise GenloomError("networks.dense_spaces", input=spec.input, output=spec.output)
    if spec.condition.tokens:
        raise GenloomError("networks.dense_prompt")
    return Dense(spec, spec.input, spec.output, config)


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the settings for one of the planner's model sizes; explicit settings win."""
    return {"width": 2 * width, "depth": depth, **settings}


class Dense(nn.Module):
    """Maps x, B C *size, and its time, vector and field conditions to B C' *size'."""

    def __init__(self, spec: NetworkSpec, input_space: SignalSpace, output_space: SignalSpace, config: Config):
        super().__init__()
        self.spec, self.output_shape = spec, (output_space.channels, *output_space.size)
        self.field_shape = (spec.condition.field, *input_space.size) if spec.condition.field else ()
        in_features = input_space.channels * prod(input_space.size) + (
            prod(self.field_shape) if self.field_shape else 0
        )
        self.in_proj = nn.Linear(in_features + 16 * spec.has_time + spec.condition.vector, config.width)
        self.layers = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.depth - 1))
        self.head = nn.Linear(config.width, prod(self.output_shape))

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        h_BD = F.silu(self.in_proj(torch.cat(self.collect_inputs(mask_padding(x, lengths), t, cond), 1)))
        for layer in self.layers:
            h_BD = F.silu(layer(h_BD))
        return self.head(h_BD).view(-1, *self.output_shape)

    def collect_inputs(self, x: Tensor, t: Tensor | None, cond: Condition | None) -> list[Tensor]:
        dtype = self.in_proj.weight.dtype
        inputs = [x.flatten(1).to(dtype)]
        if self.spec.has_time:
            assert t is not None, "this spec has a time input"
            inputs.append(timestep_embedding(t, 16).to(dtype))
        cond = cond or Condition()
        if cond.field is not None and self.field_shape and cond.field.shape[1:] != self.field_shape:
            raise GenloomError("networks.field_size", field=tuple(cond.field.shape[2:]), size=self.field_shape[1:])
        field_size = prod(self.field_shape) if self.field_shape else 0
        for value, size in ((cond.vector, self.spec.condition.vector), (cond.field, field_size)):
            if size:
                inputs.append(x.new_zeros(len(x), size).to(dtype) if value is None else value.flatten(1).to(dtype))
        return inputs
