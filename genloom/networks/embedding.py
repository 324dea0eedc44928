"""What enters a network: symbols, signals on a grid, times and condition vectors, each made features.

Shape letters: B batch, L length, S states of a prompt, C channels, D width.
"""

import torch
from torch import Tensor, nn

from genloom.types import Cond, Condition, Signal, Tokens


class Symbols(nn.Module):
    """Embeddings of symbols, with hashed tables of the pairs and triples they end.

    Huang et al. 2025, "Over-tokenized transformer".
    """

    def __init__(self, takes: Tokens, width: int, hashed: int, std: float):
        super().__init__()
        self.embed = nn.Embedding(takes.vocab, width)
        nn.init.normal_(self.embed.weight, std=std)
        self.pairs = zeros(hashed, width) if hashed else None
        self.triples = zeros(hashed, width) if hashed else None

    def before(self, count: int) -> Tensor:
        """What stands before the first symbol: nothing, written -1; (count, 2)."""
        return torch.full((count, 2), -1, dtype=torch.long, device=self.embed.weight.device)

    def forward(self, x_BL: Tensor, last_B2: Tensor, positions: Tensor | None = None) -> Tensor:
        """`positions`, B L, where documents begin within a row: nothing stands before position 0 of each."""
        h_BLD = self.embed(x_BL)
        if self.pairs is None or self.triples is None:
            return h_BLD
        long = torch.cat([last_B2, x_BL], 1)
        one, two = long[:, 1:-1], long[:, :-2]
        if positions is not None:
            one, two = one.masked_fill(positions < 1, -1), two.masked_fill(positions < 2, -1)
        pair = one * 36313 + x_BL * 27191
        triple = pair * 54059 + two * 48271
        rows = self.pairs.num_embeddings
        return h_BLD + self.pairs(pair % rows) + self.triples(triple % rows)


def zeros(rows: int, width: int) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    nn.init.zeros_(table.weight)
    return table


def latest(last_B2: Tensor, x_BL: Tensor, counts_B: Tensor) -> Tensor:
    """The last two symbols of each row after it has read `counts_B` symbols of `x_BL`."""
    long = torch.cat([last_B2, x_BL], 1)
    return torch.stack([long.gather(1, (counts_B + i)[:, None])[:, 0] for i in range(2)], 1)


class Grid(nn.Module):
    """A signal of one axis, and a condition on the same grid, made features."""

    def __init__(self, takes: Signal, cond: Cond, width: int):
        super().__init__()
        self.enter = nn.Linear(takes.channels + cond.field, width)
        self.field = cond.field

    def forward(self, x_BCL: Tensor, cond: Condition | None) -> Tensor:
        x_BCL = x_BCL.to(self.enter.weight.dtype)
        if self.field:
            given = None if cond is None else cond.field
            blank = x_BCL.new_zeros(len(x_BCL), self.field, x_BCL.shape[2])
            x_BCL = torch.cat([x_BCL, blank if given is None else given.to(x_BCL.dtype)], 1)
        return self.enter(x_BCL.mT)


class Beside(nn.Module):
    """A field that stands beside symbols, position by position, made features."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.read = nn.Linear(channels, width, bias=False)
        nn.init.normal_(self.read.weight, std=1.5)

    def forward(self, field_BCL: Tensor) -> Tensor:
        return self.read(field_BCL.mT.to(self.read.weight.dtype))


class Inform(nn.Module):
    """The time of a diffusion and a condition vector, made one vector for adaptive normalisation."""

    def __init__(self, timed: bool, vector: int, width: int):
        super().__init__()
        self.timed = timed
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width)) if timed else None
        self.vector = nn.Linear(vector, width, bias=False) if vector else None  # a zero vector says nothing

    def forward(self, t_B: Tensor | None, cond: Condition | None, like: Tensor) -> Tensor:
        news = like.new_zeros(len(like), like.shape[-1])
        if self.time is not None:
            assert t_B is not None, "this role is timed"
            news = news + self.time(waves(t_B, 64).to(like.dtype))
        if self.vector is not None and cond is not None and cond.vector is not None:
            news = news + self.vector(cond.vector.to(like.dtype))
        return news


class States(nn.Module):
    """A prompt's states made features, and their mean made news for the whole sample.

    States come with a root mean square of 1, those of weighted words with more or less, which a norm would undo.
    """

    def __init__(self, given: int, width: int):
        super().__init__()
        self.read = nn.Linear(given, width, bias=False)
        self.sum = nn.Linear(given, width, bias=False)

    def forward(self, states_BSD: Tensor, mask_BS: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features B S D, which the mask must keep from being seen where it is off, and a vector B D.

        The vector of a row without states is zero: it says nothing.
        """
        states_BSD = states_BSD.to(self.read.weight.dtype)
        real_BS = states_BSD.new_ones(states_BSD.shape[:2]) if mask_BS is None else mask_BS.to(states_BSD.dtype)
        mean_BD = (states_BSD * real_BS[..., None]).sum(1) / real_BS.sum(1, keepdim=True).clamp(min=1)
        return self.read(states_BSD), self.sum(mean_BD)


def waves(t_B: Tensor, width: int) -> Tensor:
    """Sines and cosines of a time in [0, 1] at geometric rates, (B, width)."""
    rates = 1000.0 ** torch.linspace(0, 1, width // 2, device=t_B.device)
    angles = t_B.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)
