"""Transformers over positions (the architecture of Llama, Qwen and GPT-2), for specs whose input is a sequence.

Shape letters: B batch, L length, D width, K head width, V vocabulary.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.networks.attention import RotaryEmbedding, RotaryScaling
from genloom.networks.embedding import (
    FieldEmbedding,
    ModulationEmbedding,
    SignalEmbedding,
    TokenEmbedding,
    read_field,
)
from genloom.networks.kv_cache import KVCache, build_segment_mask, build_window_mask, compute_segment_positions
from genloom.networks.transformer_block import TransformerBlock, build_norm
from genloom.types import Condition, NetworkSpec, SignalSpace, TokenSpace


@dataclass(frozen=True)
class Config:
    width: int = 256
    depth: int = 4
    heads: int = 4
    key_heads: int = 0  # 0: as many as heads
    mlp_width: int = 0  # 0: 4 x width, or 8/3 x width for SwiGLU, rounded up to 32
    head_width: int = 0  # 0: width / heads
    activation: str = "swiglu"  # or "relu2", squared ReLU (So et al. 2021), or "gelu" in its tanh form
    norm: str = "rms"  # or "layer"
    bias: str = ""  # linear layers with a bias: "" none, "qkv", "attention", or "all"
    qk_norm: bool = True
    tie_embeddings: bool = True  # the head shares the matrix of the token embedding
    softcap: float = 0.0  # soft bound of the logits; 0: no bound
    dropout: float = 0.0  # probability of dropping a feature in training, for text that training repeats many times
    positions: str = "rotary"  # or "learned", one vector per position
    window: int = 0  # how many positions back attention reaches; 0: the context length
    rotary_base: float = 10000.0
    rotary_scale: float = 1.0  # divides the rotary frequencies, for longer texts
    rotary_length: int = 0  # context length before scaling: much shorter waves stay unscaled (Llama 3); 0: scale all
    rotary_low: float = 1.0  # waves with fewer cycles than this in that length are fully scaled
    rotary_high: float = 4.0  # waves with more cycles than this stay unscaled
    norm_eps: float = 1e-5

    @property
    def K(self) -> int:
        """Return the width of a head."""
        return self.head_width or self.width // self.heads

    @property
    def hidden_width(self) -> int:
        """Return the width between the layers of the MLP."""
        is_gated = self.activation == "swiglu"
        return self.mlp_width or -(-(8 * self.width // 3 if is_gated else 4 * self.width) // 32) * 32


def build(spec: NetworkSpec, config: Config) -> "Transformer":
    check_supported(spec, config)
    return Transformer(spec, config)


def check_supported(spec: NetworkSpec, config: Config) -> None:
    """Raise GenloomError for a spec or a size that this network does not support."""
    if min(config.width, config.heads, config.depth) < 1:
        raise GenloomError("networks.transformer_sizes", width=config.width, heads=config.heads, depth=config.depth)
    input_space = spec.input
    is_sequence = isinstance(input_space, TokenSpace) or len(input_space.size) == 1
    if not is_sequence:
        raise GenloomError("networks.transformer_input", input=input_space)
    grid = (input_space.context_length,) if isinstance(input_space, TokenSpace) else input_space.size
    if isinstance(spec.output, SignalSpace) and spec.output.size not in ((), grid):
        raise GenloomError("networks.transformer_output", input=input_space, output=spec.output)
    if (config.width % config.heads and not config.head_width) or config.K % 2:
        raise GenloomError("networks.transformer_width", width=config.width, heads=config.heads)
    if isinstance(input_space, TokenSpace) and 2 * len(input_space.grid) > config.K:
        axes = len(input_space.grid)
        raise GenloomError("networks.transformer_grid", axes=axes, minimum=2 * axes, head_width=config.K)
    if config.heads % (config.key_heads or config.heads):
        raise GenloomError("networks.key_heads", heads=config.heads, key_heads=config.key_heads)
    if not 0 <= config.dropout < 1:
        raise GenloomError("networks.dropout", dropout=config.dropout)
    choices = {
        "activation": ("swiglu", "relu2", "gelu"),
        "norm": ("rms", "layer"),
        "bias": ("", "qkv", "attention", "all"),
        "positions": ("rotary", "learned"),
    }
    for setting, valid_values in choices.items():
        if (value := getattr(config, setting)) not in valid_values:
            known = ", ".join(map(repr, valid_values))
            raise GenloomError("networks.transformer_choice", setting=setting, value=value, known=known)


def default_config(size: int) -> dict[str, Any]:
    """Return the default settings for a training text of `size` bytes."""
    return {"tie_embeddings": False, "softcap": 15.0}


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the settings for one of the planner's model sizes, with at most `heads` heads; explicit settings win."""
    width, key_heads = settings.get("width", width), settings.get("key_heads") or 1
    fitting_heads = (h for h in range(heads, 0, -1) if width % (2 * h) == 0 and h % key_heads == 0)
    return {"width": width, "depth": depth, "heads": next(fitting_heads, key_heads), **settings}


def with_dropout(settings: Mapping[str, Any], dropout: float) -> dict[str, Any]:
    """Return the settings for a text that training repeats many times; explicit settings win."""
    return {"dropout": dropout, **settings}


def activations_per_token(config: Config, length: int) -> int:
    """Return how many numbers per position a training step keeps for its backward pass.

    A length of 0 counts fused kernels, as of GPUs: of attention queries, keys and values before and after the rotation,
    repeated where heads share them, and the result; of the MLP both gates and their product; the inputs of norms.
    """
    if length:
        return config.depth * (16 * config.width + 3 * config.heads * length)
    queries, keys = config.heads * config.K, (config.key_heads or config.heads) * config.K
    attention = (queries + 2 * keys) + queries + (queries if keys == queries else 2 * queries) + queries
    mlp = (4 if config.activation == "swiglu" else 2) * config.hidden_width
    return config.depth * (4 * config.width + attention + mlp)


class Transformer(nn.Module):
    """Maps x, B L (tokens) or B C L (signal), to logits B L V, features B C L, or B C for a vector output."""

    def __init__(self, spec: NetworkSpec, config: Config, feature_width: int = 0):
        """`feature_width` is the width of features that the caller gives beside the tokens, position by position."""
        super().__init__()
        self.spec, self.config = spec, config
        D, field_channels = config.width, spec.condition.field + feature_width
        self.embedding: TokenEmbedding | SignalEmbedding
        if isinstance(spec.input, TokenSpace):
            self.embedding = TokenEmbedding(spec.input, D, std=0.02 if config.tie_embeddings else 1.0)
        else:
            self.embedding = SignalEmbedding(spec.input, spec.condition, D)
        self.field_embed = (
            FieldEmbedding(field_channels, D) if isinstance(spec.input, TokenSpace) and field_channels else None
        )
        self.mod_embed = (
            ModulationEmbedding(spec.has_time, spec.condition.vector, D)
            if spec.has_time or spec.condition.vector
            else None
        )
        self.blocks = nn.ModuleList(
            TransformerBlock(config, spec, self.mod_embed is not None) for _ in range(config.depth)
        )
        length = spec.input.context_length if isinstance(spec.input, TokenSpace) else spec.input.size[0]
        self.window = min(config.window or length, length)
        self.norm = build_norm(config)
        self.pos_embed = nn.Embedding(length, D) if config.positions == "learned" else None
        scaling = RotaryScaling(config.rotary_scale, config.rotary_length, config.rotary_low, config.rotary_high)
        grid = spec.input.grid if isinstance(spec.input, TokenSpace) else ()
        self.rotary = RotaryEmbedding(config.K, config.rotary_base, scaling, grid)
        out_features = spec.output.vocab_size if isinstance(spec.output, TokenSpace) else spec.output.channels
        self.head = nn.Linear(D, out_features, bias=False)
        nn.init.zeros_(self.head.weight)
        if config.tie_embeddings and isinstance(self.embedding, TokenEmbedding) and isinstance(spec.output, TokenSpace):
            self.head.weight = self.embedding.embed.weight

    def at_size(self, size: tuple[int, ...]) -> "Transformer":
        """Return the network for a signal of this length, or for tokens on a grid of this shape."""
        space, length = self.spec.input, prod(size)
        is_grid = isinstance(space, TokenSpace)
        if self.pos_embed is not None or len(size) != len(space.grid if is_grid else space.size):
            raise GenloomError("networks.size_is_fixed", size=size)
        other = copy(self)  # with the same weights
        if is_grid:
            other.rotary, length = self.rotary.with_grid(size), length + 1
        other.window = min(self.config.window or length, length)
        return other

    def init_cache(self, count: int, length: int) -> KVCache:
        """Return an empty cache for `count` rows of up to `length` positions."""
        config, like = self.config, self.norm.weight
        assert isinstance(self.embedding, TokenEmbedding), "only tokens are read in pieces"
        shape = (count, config.key_heads or config.heads, length + 1, config.K)
        pairs = [(like.new_zeros(shape), like.new_zeros(shape)) for _ in self.blocks]
        return KVCache(pairs, torch.zeros(count, dtype=torch.long, device=like.device))

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: KVCache | None = None,
        segments: Tensor | None = None,
        return_logits: bool = True,
        features_BFL: Tensor | None = None,
    ) -> Tensor:
        """Return the output, or with `return_logits=False` the hidden states that `compute_logits` takes.

        `segments`, B L, numbers the documents of packed rows. `features_BFL` are read beside the tokens.
        """
        h_BLD = self.compute_hidden_states(x, t, cond, lengths, cache, segments, features_BFL)
        return self.compute_logits(h_BLD, lengths) if return_logits else h_BLD

    def compute_hidden_states(
        self,
        x: Tensor,
        t: Tensor | None,
        cond: Condition | None,
        lengths: Tensor | None,
        cache: KVCache | None,
        segments: Tensor | None,
        features_BFL: Tensor | None = None,
    ) -> Tensor:
        """Return the normalized hidden states B L D of every position."""
        positions = None if segments is None else compute_segment_positions(segments)
        if isinstance(self.embedding, TokenEmbedding):
            h_BLD = self.embedding(x)
        else:
            h_BLD = self.embedding(x, cond)
        L = h_BLD.shape[1]
        if positions is None:
            positions = torch.arange(L, device=h_BLD.device)
        attn_mask, key_range = None, slice(0, L)
        if cache is not None:
            capacity = cache.keys_values[0][0].shape[2] - 1  # the extra last slot takes padding beyond the others
            positions = (cache.lengths[:, None] + positions).clamp(max=capacity)
            key_range = slice(max(int(cache.lengths.min()) + 1 - self.window, 0), int(positions.max()) + 1)
            attn_mask = build_window_mask(
                positions, torch.arange(key_range.start, key_range.stop, device=x.device), self.window
            )[:, None]
        elif segments is not None:
            assert self.spec.is_causal, "only causal networks read packed documents"
            attn_mask = (build_window_mask(positions, positions[:, None], self.window) & build_segment_mask(segments))[
                :, None
            ]
        elif self.spec.is_causal and self.window < L:
            attn_mask = build_window_mask(positions, positions, self.window)
        elif lengths is not None and not self.spec.is_causal:  # causal rows never see the padding to their right
            attn_mask = (positions < lengths[:, None])[:, None, None]
        if self.field_embed is not None:
            fields = [] if features_BFL is None else [features_BFL]
            if channels := self.spec.condition.field:  # a causal network reads the column of the token it predicts
                columns = positions if self.spec.is_causal else positions - 1
                fields.append(read_field(cond, columns, len(x), channels))
            h_BLD = h_BLD + self.field_embed(torch.cat(fields, 1))
        if self.pos_embed is not None:  # positions beyond the last learned one share its vector
            h_BLD = h_BLD + self.pos_embed(positions.clamp(max=self.pos_embed.num_embeddings - 1))
        cos_sin = None if self.pos_embed is not None else self.rotary.compute_cos_sin(positions, h_BLD.dtype)
        mod_BD = self.mod_embed(t, cond, h_BLD) if self.mod_embed is not None else None
        for i, block in enumerate(self.blocks):
            layer_cache = None if cache is None else (*cache.keys_values[i], positions, key_range)
            h_BLD = block(h_BLD, cos_sin, attn_mask, mod_BD, cond, layer_cache)
        if cache is not None:
            cache.lengths = cache.lengths + (torch.full_like(cache.lengths, L) if lengths is None else lengths)
            assert int(cache.lengths.max()) <= cache.keys_values[0][0].shape[2] - 1, (
                "more tokens were read than the cache holds"
            )
        return self.norm(h_BLD)

    def compute_logits(self, h_BLD: Tensor, lengths: Tensor | None = None) -> Tensor:
        if isinstance(self.spec.output, TokenSpace):
            logits_BLV = self.head(h_BLD)
            cap = self.config.softcap
            return cap * torch.tanh(logits_BLV / cap) if cap else logits_BLV
        if self.spec.output.size:
            return self.head(h_BLD).mT
        return self.head(pool_hidden_states(h_BLD, lengths, self.spec.is_causal))

    def get_output_head(self) -> tuple[Tensor, float]:
        """Return the matrix V D of the head and the soft bound of the logits (0: no bound)."""
        return self.head.weight, self.config.softcap


def pool_hidden_states(h_BLD: Tensor, lengths: Tensor | None, is_causal: bool) -> Tensor:
    """Return one vector per row: the last valid position of a causal network, else the mean of the valid positions."""
    B, L, _ = h_BLD.shape
    lengths = h_BLD.new_full((B,), L, dtype=torch.long) if lengths is None else lengths
    if is_causal:
        return h_BLD[torch.arange(B, device=h_BLD.device), lengths - 1]
    valid_BL1 = (torch.arange(L, device=h_BLD.device) < lengths[:, None])[..., None].to(h_BLD.dtype)
    return (h_BLD * valid_BL1).sum(1) / valid_BL1.sum(1)
