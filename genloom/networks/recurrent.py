"""Gated recurrent units, for causal specs over tokens.

Shape letters: B batch, L length, D width, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.types import Condition, NetworkSpec, TokenSpace


@dataclass(frozen=True)
class Config:
    width: int = 256
    depth: int = 2
    tie_embeddings: bool = True
    norm_eps: float = 1e-5


def build(spec: NetworkSpec, config: Config) -> nn.Module:
    if not (isinstance(spec.input, TokenSpace) and spec.is_causal):
        raise GenloomError("networks.recurrent_input", input=spec.input)
    if spec.has_time or spec.condition.tokens or spec.condition.field:
        raise GenloomError("networks.recurrent_condition")
    return Recurrent(spec, spec.input, config)


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the settings for one of the planner's model sizes; explicit settings win. Width helps more than depth."""
    return {"width": 2 * width, **settings}


def activations_per_token(config: Config, length: int) -> int:
    """Return how many numbers per position a training step keeps for its backward pass."""
    return config.depth * 10 * config.width


class Recurrent(nn.Module):
    """Maps tokens x, B L, to logits B L V, or B C for a spec with a vector output.

    Layers of gated recurrent units (Cho et al. 2014) with residual connections.
    """

    def __init__(self, spec: NetworkSpec, input_space: TokenSpace, config: Config):
        super().__init__()
        self.spec, self.config = spec, config
        D = config.width
        self.embed = nn.Embedding(input_space.vocab_size, D)
        nn.init.normal_(self.embed.weight, std=0.02 if config.tie_embeddings else 1.0)
        self.vector = nn.Linear(spec.condition.vector, D, bias=False) if spec.condition.vector else None
        self.norms = nn.ModuleList(nn.RMSNorm(D, config.norm_eps) for _ in range(config.depth))
        self.layers = nn.ModuleList(nn.GRU(D, D, batch_first=True) for _ in range(config.depth))
        self.norm = nn.RMSNorm(D, config.norm_eps)
        self.head = nn.Linear(
            D, spec.output.vocab_size if isinstance(spec.output, TokenSpace) else spec.output.channels, bias=False
        )
        if config.tie_embeddings and isinstance(spec.output, TokenSpace):
            self.head.weight = self.embed.weight

    def init_cache(self, count: int, length: int) -> "RecurrentCache":
        like = self.norm.weight
        states = [like.new_zeros(count, self.config.width) for _ in self.layers]
        return RecurrentCache(states, torch.zeros(count, dtype=torch.long, device=like.device))

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: "RecurrentCache | None" = None,
    ) -> Tensor:
        B, L = x.shape
        counts = torch.full((B,), L, device=x.device) if lengths is None else lengths
        rows = torch.arange(B, device=x.device)
        h_BLD = self.embed(x)
        if self.vector is not None and cond is not None and cond.vector is not None:
            h_BLD = h_BLD + self.vector(cond.vector.to(h_BLD.dtype))[:, None]
        for i, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            initial_state = None if cache is None else cache.states[i][None]
            out_BLD, _ = layer(norm(h_BLD), initial_state)
            if cache is not None:  # the state after the last valid token of each row, not after its padding
                last_state = out_BLD[rows, (counts - 1).clamp(min=0)]
                cache.states[i] = torch.where((counts > 0)[:, None], last_state, cache.states[i])
            h_BLD = h_BLD + out_BLD
        if cache is not None:
            cache.lengths = cache.lengths + counts
        h_BLD = self.norm(h_BLD)
        return self.head(h_BLD if isinstance(self.spec.output, TokenSpace) else h_BLD[rows, counts - 1])


@dataclass
class RecurrentCache:
    """The state of every layer, B D each, and how many tokens each row has read."""

    states: list[Tensor]
    lengths: Tensor

    def select_rows(self, rows: Tensor) -> "RecurrentCache":
        return RecurrentCache([s[rows] for s in self.states], self.lengths[rows])
