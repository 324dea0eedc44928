"""Classifier-free guidance: a wrapper network that follows a condition more strongly than the network itself would."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from genloom.types import CausalNetwork, Condition, DecodingCache


class ClassifierFreeGuidance(nn.Module):
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
        uncond: Condition | None = None,
        interval: tuple[float, float] = (0.0, 1.0),
        base: nn.Module | None = None,
    ):
        super().__init__()
        self.network, self.scale, self.uncond, self.interval, self.base = network, scale, uncond, interval, base

    def init_cache(self, count: int, length: int) -> "GuidedCache":
        return GuidedCache(cast(CausalNetwork, self.network).init_cache(2 * count, length))

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: "GuidedCache | None" = None,
    ) -> Tensor:
        if (
            t is not None and not self.interval[0] <= float(t[0]) <= self.interval[1]
        ):  # a sampler's rows share their time
            return self.network(x, t, cond=cond, lengths=lengths)
        uncond = None if cond is None else self.uncond or cond.mask_rows(x.new_zeros(len(x), dtype=torch.bool))
        if self.base is not None:
            uncond_output = self.base(x, t, cond=uncond, lengths=lengths)
            return uncond_output + self.scale * (self.network(x, t, cond=cond, lengths=lengths) - uncond_output)

        def double(value: Tensor | None) -> Tensor | None:
            return None if value is None else torch.cat([value, value])

        stacked_cond = None if cond is None or uncond is None else concat_conditions(cond, uncond)
        cache_kwargs = {} if cache is None else {"cache": cache.cache}
        outputs = self.network(torch.cat([x, x]), double(t), cond=stacked_cond, lengths=double(lengths), **cache_kwargs)
        cond_output, uncond_output = outputs.chunk(2)
        return uncond_output + self.scale * (cond_output - uncond_output)


@dataclass
class GuidedCache:
    """The memory of the rows with the condition, then of the same rows without."""

    cache: DecodingCache

    @property
    def lengths(self) -> Tensor:
        return self.cache.lengths[: len(self.cache.lengths) // 2]

    def select_rows(self, rows: Tensor) -> "GuidedCache":
        return GuidedCache(self.cache.select_rows(torch.cat([rows, rows + len(self.cache.lengths) // 2])))


def concat_conditions(first: Condition, second: Condition) -> Condition:
    """Two conditions for one batch, row after row; prompts of different lengths are padded and masked."""

    def concat(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.cat([a, b])

    first, second = fill_missing_inputs(first, second), fill_missing_inputs(second, first)
    first, second = pad_condition(first, second), pad_condition(second, first)
    return Condition(
        concat(first.tokens, second.tokens),
        concat(first.mask, second.mask),
        concat(first.vector, second.vector),
        concat(first.field, second.field),
    )


def fill_missing_inputs(cond: Condition, other: Condition) -> Condition:
    """`cond`, with what only the other says switched off in it."""
    reference = next(t for t in (other.tokens, other.vector, other.field, torch.zeros(0)) if t is not None)
    null_cond = other.mask_rows(torch.zeros(len(reference), dtype=torch.bool, device=reference.device))
    tokens, mask = (null_cond.tokens, null_cond.mask) if cond.tokens is None else (cond.tokens, cond.mask)
    vector = null_cond.vector if cond.vector is None else cond.vector
    return Condition(tokens, mask, vector, null_cond.field if cond.field is None else cond.field)


def pad_condition(cond: Condition, other: Condition) -> Condition:
    """`cond` with its states padded to the length of the longer of the two, and a mask that says so."""
    if cond.tokens is None or other.tokens is None:
        return cond
    mask = cond.mask if cond.mask is not None else cond.tokens.new_ones(cond.tokens.shape[:2], dtype=torch.bool)
    padding = max(other.tokens.shape[1] - cond.tokens.shape[1], 0)
    tokens = nn.functional.pad(cond.tokens, (0, 0, 0, padding))
    return Condition(tokens, nn.functional.pad(mask, (0, padding)), cond.vector, cond.field)
