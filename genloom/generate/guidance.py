"""Classifier-free guidance, as a wrapper around a network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from genloom.objectives.sizes import resize_network
from genloom.types import CausalNetwork, Condition, DecodingCache


class ClassifierFreeGuidance(nn.Module):
    """The unconditional output plus `scale` times its difference to the conditional one (Ho and Salimans 2021, eq. 6).

    `uncond` is a negative prompt, one row per sample; None is the null condition. It works on logits, velocities and
    signals, and with the network's cache, which then holds both halves of the doubled batch. For networks with time,
    `interval` limits guidance: outside, at half the cost, early steps stay diverse and late ones do not get worse
    (Kynkäänniemi et al. 2024). A `base` network gives the unconditional output, so that a fine-tuned network moves away
    from its base instead of from what it has learned (Zhong et al. 2025, "Domain guidance"); such a network has time,
    and no cache. With `components`, several conditions of the rows with a scale each, the scaled difference of each is
    added, instead of that of the joint condition (Liu et al. 2022, "Composable diffusion").
    """

    def __init__(
        self,
        network: nn.Module,
        scale: float,
        uncond: Condition | None = None,
        interval: tuple[float, float] = (0.0, 1.0),
        base: nn.Module | None = None,
        components: Sequence[tuple[Condition, float]] = (),
    ):
        super().__init__()
        self.network, self.scale, self.uncond, self.interval, self.base = network, scale, uncond, interval, base
        self.components = components

    @property
    def num_copies(self) -> int:
        """The number of copies of each row that the network reads: one per condition, and the unconditional one."""
        return max(len(self.components), 1) + 1

    def at_size(self, size: tuple[int, ...]) -> "ClassifierFreeGuidance":
        """Return the guided network for inputs of this size."""
        network, base = resize_network(self.network, size), self.base and resize_network(self.base, size)
        return ClassifierFreeGuidance(network, self.scale, self.uncond, self.interval, base, self.components)

    def init_cache(self, count: int, length: int) -> "GuidedCache":
        cache = cast(CausalNetwork, self.network).init_cache(self.num_copies * count, length)
        return GuidedCache(cache, self.num_copies)

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: "GuidedCache | None" = None,
    ) -> Tensor:
        start, end = self.interval
        if t is not None and not start <= float(t[0]) <= end:  # all rows of a sampler share their time
            return self.network(x, t, cond=cond, lengths=lengths)
        uncond = None if cond is None else self.uncond or cond.mask_rows(x.new_zeros(len(x), dtype=torch.bool))
        conds = [component for component, _ in self.components] or [cond]
        scales = [scale for _, scale in self.components] or [self.scale]
        if self.base is not None:
            uncond_output = self.base(x, t, cond=uncond, lengths=lengths)
            cond_outputs = [self.network(x, t, cond=each, lengths=lengths) for each in conds]
            return extrapolate_outputs(uncond_output, cond_outputs, scales)

        def repeat(value: Tensor | None) -> Tensor | None:
            return None if value is None else torch.cat([value] * self.num_copies)

        present_conds = [each for each in (*conds, uncond) if each is not None]  # all, or none of them
        stacked_cond = reduce(concat_conditions, present_conds) if present_conds else None
        cache_kwargs = {} if cache is None else {"cache": cache.cache}
        outputs = self.network(repeat(x), repeat(t), cond=stacked_cond, lengths=repeat(lengths), **cache_kwargs)
        *cond_outputs, uncond_output = outputs.chunk(self.num_copies)
        return extrapolate_outputs(uncond_output, cond_outputs, scales)


def extrapolate_outputs(uncond_output: Tensor, cond_outputs: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
    """Return the unconditional output plus each scaled difference to it."""
    guided_output = uncond_output
    for cond_output, scale in zip(cond_outputs, scales, strict=True):
        guided_output = guided_output + scale * (cond_output - uncond_output)
    return guided_output


@dataclass
class GuidedCache:
    """The cache of the conditional rows, followed by that of the same rows without the condition."""

    cache: DecodingCache
    num_copies: int = 2  # of the rows

    @property
    def lengths(self) -> Tensor:
        return self.cache.lengths[: len(self.cache.lengths) // self.num_copies]

    def select_rows(self, rows: Tensor) -> "GuidedCache":
        count = len(self.cache.lengths) // self.num_copies
        copies = torch.cat([rows + copy * count for copy in range(self.num_copies)])
        return GuidedCache(self.cache.select_rows(copies), self.num_copies)


def concat_conditions(first: Condition, second: Condition) -> Condition:
    """Concatenate two conditions along the batch; pad and mask prompts of different lengths."""

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
    """Return `cond` with null inputs for what only the other condition has."""
    tensors = (cond.tokens, cond.vector, cond.field, other.tokens, other.vector, other.field, torch.zeros(0))
    reference = next(t for t in tensors if t is not None)
    first_rows = other.map(lambda t: t[:1].expand(len(reference), *t.shape[1:]))
    null_cond = first_rows.mask_rows(torch.zeros(len(reference), dtype=torch.bool, device=reference.device))
    tokens, mask = (null_cond.tokens, null_cond.mask) if cond.tokens is None else (cond.tokens, cond.mask)
    vector = null_cond.vector if cond.vector is None else cond.vector
    return Condition(tokens, mask, vector, null_cond.field if cond.field is None else cond.field)


def pad_condition(cond: Condition, other: Condition) -> Condition:
    """Pad and mask the states of `cond` to the longer length of the two conditions, and pad its field."""
    if cond.field is not None and other.field is not None:
        sides = zip(cond.field.shape[:1:-1], other.field.shape[:1:-1], strict=True)  # the last axis first
        padding = [n for side, other_side in sides for n in (0, max(other_side - side, 0))]
        cond = replace(cond, field=nn.functional.pad(cond.field, padding))
    if cond.tokens is None or other.tokens is None:
        return cond
    mask = cond.mask if cond.mask is not None else cond.tokens.new_ones(cond.tokens.shape[:2], dtype=torch.bool)
    padding = max(other.tokens.shape[1] - cond.tokens.shape[1], 0)
    tokens = nn.functional.pad(cond.tokens, (0, 0, 0, padding))
    return Condition(tokens, nn.functional.pad(mask, (0, padding)), cond.vector, cond.field)
