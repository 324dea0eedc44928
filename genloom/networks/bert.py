"""The network of BERT, for specs over tokens that it reads in both directions.

Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language understanding". Norms stand
behind the sums of the residual connections, positions are learned, and a layer stands before the head, which shares
the matrix of the token embedding.

Shape letters: B batch, L length, D width, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.networks import transformer
from genloom.networks.dropout import Dropout
from genloom.networks.embedding import TokenEmbedding
from genloom.networks.transformer_block import Mlp, SelfAttention, build_norm
from genloom.types import Condition, NetworkSpec, TokenSpace


@dataclass(frozen=True)
class Config:
    width: int = 256
    depth: int = 4
    heads: int = 4
    mlp_width: int = 0  # 0: 4 x width
    dropout: float = 0.0  # probability of dropping a feature in training
    norm_eps: float = 1e-12

    def to_transformer(self) -> transformer.Config:
        """Return the settings of the layers that this network shares with the transformer."""
        return transformer.Config(
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            mlp_width=self.mlp_width,
            activation="gelu",
            norm="layer",
            bias="all",
            qk_norm=False,
            dropout=self.dropout,
            positions="learned",
            norm_eps=self.norm_eps,
        )


def build(spec: NetworkSpec, config: Config) -> "Bert":
    if not isinstance(spec.input, TokenSpace) or not isinstance(spec.output, TokenSpace) or spec.input.grid:
        raise GenloomError("networks.bert_space", input=spec.input)
    if spec.is_causal or spec.has_time or spec.condition.vector or spec.condition.tokens or spec.condition.field:
        raise GenloomError("networks.bert_direction")
    transformer.check_supported(spec, config.to_transformer())
    return Bert(spec, spec.input, config)


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the settings for one of the planner's model sizes; explicit settings win."""
    return {"width": width, "depth": depth, "heads": heads, **settings}


class Bert(nn.Module):
    """Maps tokens x, B L, to logits B L V."""

    def __init__(self, spec: NetworkSpec, input_space: TokenSpace, config: Config):
        super().__init__()
        self.spec, self.config, inner = spec, config, config.to_transformer()
        D = config.width
        self.embedding = TokenEmbedding(input_space, D, 0.02)
        self.pos_embed = nn.Embedding(input_space.context_length, D)
        nn.init.normal_(self.pos_embed.weight, std=0.02)
        self.norm_embedding = build_norm(inner)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(inner) for _ in range(config.depth))
        self.transform = nn.Linear(D, D)
        self.norm = build_norm(inner)
        self.head_bias = nn.Parameter(torch.zeros(input_space.vocab_size))

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        return_logits: bool = True,
    ) -> Tensor:
        """Return the logits, or with `return_logits=False` the hidden states B L D that `compute_logits` takes."""
        positions = torch.arange(x.shape[1], device=x.device)
        attn_mask = None if lengths is None else (positions < lengths[:, None])[:, None, None]
        h_BLD = self.embedding(x) + self.pos_embed(positions.clamp(max=self.pos_embed.num_embeddings - 1))
        h_BLD = self.dropout(self.norm_embedding(h_BLD))
        for block in self.blocks:
            h_BLD = block(h_BLD, attn_mask)
        return self.compute_logits(h_BLD) if return_logits else h_BLD

    def compute_logits(self, h_BLD: Tensor) -> Tensor:
        """Return the logits of hidden states, B L V."""
        return F.linear(self.norm(F.gelu(self.transform(h_BLD))), self.embedding.embed.weight, self.head_bias)


class Block(nn.Module):
    """Attention and an MLP, each with its norm behind the sum."""

    def __init__(self, config: transformer.Config):
        super().__init__()
        self.attention, self.mlp = SelfAttention(config), ExactMlp(config)
        self.attention.qkv = QkvLinear(config.width)
        for layer in (self.attention.out, self.mlp.down):  # zero, as the transformer begins, leaves nothing to the norm
            nn.init.normal_(layer.weight, std=0.02)
        self.norm_attention, self.norm_mlp = build_norm(config), build_norm(config)
        self.dropout_attention, self.dropout_mlp = Dropout(config.dropout), Dropout(config.dropout)

    def forward(self, h_BLD: Tensor, attn_mask: Tensor | None) -> Tensor:
        update_BLD = self.attention(h_BLD, None, attn_mask, False, None)
        h_BLD = self.norm_attention(h_BLD + self.dropout_attention(update_BLD))
        return self.norm_mlp(h_BLD + self.dropout_mlp(self.mlp(h_BLD)))


class QkvLinear(nn.Linear):
    """The layer of queries, keys and values, in which the bias of the keys is left out.

    It adds the same to all scores of a query, and the softmax takes that away: trained, it would only follow rounding.
    """

    def __init__(self, width: int):
        super().__init__(width, 3 * width)
        nn.init.normal_(self.weight, std=width**-0.5)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        query_bias, key_bias, value_bias = self.bias.chunk(3)
        return F.linear(input, self.weight, torch.cat([query_bias, torch.zeros_like(key_bias), value_bias]))


class ExactMlp(Mlp):
    """An MLP with the exact form of GELU, whose tanh form differs from it in the fourth digit."""

    def forward(self, h_BLD: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(h_BLD)))
