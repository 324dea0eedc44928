"""Classifier-free guidance: a wrapper network that follows a condition more strongly than the network itself would."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from genloom.types import Cache, CausalNetwork, Condition


class Guided(nn.Module):
    """Output without the condition plus `scale` times the difference it makes (Ho and Salimans 2021, equation 6).

    `against` is a negative prompt to move away from, as many rows as there are samples; without one, no condition.
    Works on logits, velocities and signals alike, and with the network's cache, which then holds both halves of the
    doubled batch. Where there is time, `span` says between which two there is guidance: without it, at half the cost,
    pictures vary more at first and become no better at last (Kynkäänniemi et al. 2024). With a `base`, that is what
    gives the output without the condition: a tuned network then moves away from what it was before, and not from what
    it has learned (Zhong et al. 2025, "Domain guidance"); such a network has time, and no cache.
    """

    def __init__(
        self,
        network: nn.Module,
        scale: float,
        against: Condition | None = None,
        span: tuple[float, float] = (0.0, 1.0),
        base: nn.Module | None = None,
    ):
        super().__init__()
        self.network, self.scale, self.against, self.span, self.base = network, scale, against, span, base

    def start(self, count: int, length: int) -> "Both":
        return Both(cast(CausalNetwork, self.network).start(2 * count, length))

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: "Both | None" = None,
    ) -> Tensor:
        if t is not None and not self.span[0] <= float(t[0]) <= self.span[1]:  # a sampler's rows share their time
            return self.network(x, t, cond=cond, lengths=lengths)
        against = None if cond is None else self.against or cond.keep(x.new_zeros(len(x), dtype=torch.bool))
        if self.base is not None:
            without = self.base(x, t, cond=against, lengths=lengths)
            return without + self.scale * (self.network(x, t, cond=cond, lengths=lengths) - without)

        def twice(value: Tensor | None) -> Tensor | None:
            return None if value is None else torch.cat([value, value])

        both = None if cond is None or against is None else stacked(cond, against)
        memory = {} if cache is None else {"cache": cache.doubled}
        out = self.network(torch.cat([x, x]), twice(t), cond=both, lengths=twice(lengths), **memory)
        with_it, without = out.chunk(2)
        return without + self.scale * (with_it - without)


@dataclass
class Both:
    """The memory of the rows with the condition, then of the same rows without."""

    doubled: Cache

    @property
    def lengths(self) -> Tensor:
        return self.doubled.lengths[: len(self.doubled.lengths) // 2]

    def rows(self, rows: Tensor) -> "Both":
        return Both(self.doubled.rows(torch.cat([rows, rows + len(self.doubled.lengths) // 2])))


def stacked(first: Condition, second: Condition) -> Condition:
    """Two conditions for one batch, row after row; prompts of different lengths are padded and masked."""

    def joined(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.cat([a, b])

    first, second = whole(first, second), whole(second, first)
    first, second = masked(first, second), masked(second, first)
    return Condition(
        joined(first.tokens, second.tokens),
        joined(first.mask, second.mask),
        joined(first.vector, second.vector),
        joined(first.field, second.field),
    )


def whole(cond: Condition, other: Condition) -> Condition:
    """`cond`, with what only the other says switched off in it."""
    rows = next(t for t in (other.tokens, other.vector, other.field, torch.zeros(0)) if t is not None)
    off = other.keep(torch.zeros(len(rows), dtype=torch.bool, device=rows.device))
    tokens, mask = (off.tokens, off.mask) if cond.tokens is None else (cond.tokens, cond.mask)
    vector = off.vector if cond.vector is None else cond.vector
    return Condition(tokens, mask, vector, off.field if cond.field is None else cond.field)


def masked(cond: Condition, other: Condition) -> Condition:
    """`cond` with its states padded to the length of the longer of the two, and a mask that says so."""
    if cond.tokens is None or other.tokens is None:
        return cond
    mask = cond.mask if cond.mask is not None else cond.tokens.new_ones(cond.tokens.shape[:2], dtype=torch.bool)
    room = max(other.tokens.shape[1] - cond.tokens.shape[1], 0)
    tokens = nn.functional.pad(cond.tokens, (0, 0, 0, room))
    return Condition(tokens, nn.functional.pad(mask, (0, room)), cond.vector, cond.field)
