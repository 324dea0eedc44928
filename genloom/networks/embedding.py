"""What enters a network: symbols, signals on a grid, times and condition vectors, each made features.

Shape letters: B batch, L length, S states of a prompt, C channels, D width.
"""

import torch
from torch import Tensor, nn

from genloom.types import Condition, ConditionSpec, SignalSpace, TokenSpace


class TokenEmbedding(nn.Module):
    """Embeddings of symbols, with hashed tables of the pairs and triples they end.

    Huang et al. 2025, "Over-tokenized transformer".
    """

    def __init__(self, input_space: TokenSpace, width: int, hash_buckets: int, std: float):
        super().__init__()
        self.embed = nn.Embedding(input_space.vocab_size, width)
        nn.init.normal_(self.embed.weight, std=std)
        self.bigrams = build_zero_embedding(hash_buckets, width) if hash_buckets else None
        self.trigrams = build_zero_embedding(hash_buckets, width) if hash_buckets else None

    def build_empty_context(self, count: int) -> Tensor:
        """What stands before the first symbol: nothing, written -1; (count, 2)."""
        return torch.full((count, 2), -1, dtype=torch.long, device=self.embed.weight.device)

    def forward(self, x_BL: Tensor, prev_tokens_B2: Tensor, positions: Tensor | None = None) -> Tensor:
        """`positions`, B L, where documents begin within a row: nothing stands before position 0 of each."""
        h_BLD = self.embed(x_BL)
        if self.bigrams is None or self.trigrams is None:
            return h_BLD
        extended_BL = torch.cat([prev_tokens_B2, x_BL], 1)
        prev1_BL, prev2_BL = extended_BL[:, 1:-1], extended_BL[:, :-2]
        if positions is not None:
            prev1_BL, prev2_BL = prev1_BL.masked_fill(positions < 1, -1), prev2_BL.masked_fill(positions < 2, -1)
        bigram_hash = prev1_BL * 36313 + x_BL * 27191
        trigram_hash = bigram_hash * 54059 + prev2_BL * 48271
        num_buckets = self.bigrams.num_embeddings
        return h_BLD + self.bigrams(bigram_hash % num_buckets) + self.trigrams(trigram_hash % num_buckets)


def build_zero_embedding(num_embeddings: int, width: int) -> nn.Embedding:
    table = nn.Embedding(num_embeddings, width)
    nn.init.zeros_(table.weight)
    return table


def update_prev_tokens(prev_tokens_B2: Tensor, x_BL: Tensor, counts_B: Tensor) -> Tensor:
    """The last two symbols of each row after it has read `counts_B` symbols of `x_BL`."""
    extended_BL = torch.cat([prev_tokens_B2, x_BL], 1)
    return torch.stack([extended_BL.gather(1, (counts_B + i)[:, None])[:, 0] for i in range(2)], 1)


class SignalEmbedding(nn.Module):
    """A signal of one axis, and a condition on the same grid, made features."""

    def __init__(self, input_space: SignalSpace, condition_spec: ConditionSpec, width: int):
        super().__init__()
        self.in_proj = nn.Linear(input_space.channels + condition_spec.field, width)
        self.field_channels = condition_spec.field

    def forward(self, x_BCL: Tensor, cond: Condition | None) -> Tensor:
        x_BCL = x_BCL.to(self.in_proj.weight.dtype)
        if self.field_channels:
            field = None if cond is None else cond.field
            blank = x_BCL.new_zeros(len(x_BCL), self.field_channels, x_BCL.shape[2])
            x_BCL = torch.cat([x_BCL, blank if field is None else field.to(x_BCL.dtype)], 1)
        return self.in_proj(x_BCL.mT)


class FieldEmbedding(nn.Module):
    """A field that stands beside symbols, position by position, made features."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.proj = nn.Linear(channels, width, bias=False)
        nn.init.normal_(self.proj.weight, std=1.5)

    def forward(self, field_BCL: Tensor) -> Tensor:
        return self.proj(field_BCL.mT.to(self.proj.weight.dtype))


class ModulationEmbedding(nn.Module):
    """The time of a diffusion and a condition vector, made one vector for adaptive normalisation."""

    def __init__(self, has_time: bool, vector: int, width: int):
        super().__init__()
        self.has_time = has_time
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width)) if has_time else None
        self.vector = nn.Linear(vector, width, bias=False) if vector else None  # a zero vector says nothing

    def forward(self, t_B: Tensor | None, cond: Condition | None, like: Tensor) -> Tensor:
        mod_BD = like.new_zeros(len(like), like.shape[-1])
        if self.time is not None:
            assert t_B is not None, "this role is timed"
            mod_BD = mod_BD + self.time(timestep_embedding(t_B, 64).to(like.dtype))
        if self.vector is not None and cond is not None and cond.vector is not None:
            mod_BD = mod_BD + self.vector(cond.vector.to(like.dtype))
        return mod_BD


class PromptProjection(nn.Module):
    """A prompt's states made features, and their mean made news for the whole sample.

    States come with a root mean square of 1, those of weighted words with more or less, which a norm would undo.
    """

    def __init__(self, in_features: int, width: int):
        super().__init__()
        self.states_proj = nn.Linear(in_features, width, bias=False)
        self.pooled_proj = nn.Linear(in_features, width, bias=False)

    def forward(self, states_BSD: Tensor, mask_BS: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features B S D, which the mask must keep from being seen where it is off, and a vector B D.

        The vector of a row without states is zero: it says nothing.
        """
        states_BSD = states_BSD.to(self.states_proj.weight.dtype)
        valid_BS = states_BSD.new_ones(states_BSD.shape[:2]) if mask_BS is None else mask_BS.to(states_BSD.dtype)
        mean_BD = (states_BSD * valid_BS[..., None]).sum(1) / valid_BS.sum(1, keepdim=True).clamp(min=1)
        return self.states_proj(states_BSD), self.pooled_proj(mean_BD)


def timestep_embedding(t_B: Tensor, width: int) -> Tensor:
    """Sines and cosines of a time in [0, 1] at geometric rates, (B, width)."""
    frequencies = 1000.0 ** torch.linspace(0, 1, width // 2, device=t_B.device)
    angles = t_B.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)
