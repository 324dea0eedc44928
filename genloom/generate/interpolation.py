"""Interpolation between two outputs: spherical for their noise, linear for their conditions.

Shape letters: B rows, S states of a prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from genloom.generate.guidance import pad_condition
from genloom.noise import SIGNAL_POOL_SIZE, Noise, pool_normal
from genloom.types import Condition


@dataclass(frozen=True)
class Interpolation:
    """The other end of each row's interpolation, and its weight: 0 is the request's own row, 1 is this one."""

    prompts: tuple[str, ...]
    nonces: tuple[int, ...]
    weights: tuple[float, ...]
    given: tuple[Mapping[str, Any], ...] = ()  # the values of the other conditions; (): as in the request

    def __post_init__(self) -> None:
        assert len(self.prompts) == len(self.nonces) == len(self.weights)
        assert all(0 <= weight <= 1 for weight in self.weights)

    def select_rows(self, rows: slice) -> "Interpolation":
        return Interpolation(self.prompts[rows], self.nonces[rows], self.weights[rows], self.given[rows])


@dataclass(frozen=True)
class SlerpNoise(Noise):
    """Noise between that of two nonces; it is standard normal at every weight."""

    other_nonces: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()

    def normal(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Interpolate spherically (Shoemake 1985); independent draws are nearly orthogonal."""
        begin, end = (Noise(self.key, nonces).normal(shape, position) for nonces in (self.nonces, self.other_nonces))
        return self._interpolate(begin, end, self.nonces, self.other_nonces)

    def _pool_normal(self, shape: Sequence[int], position: int) -> Tensor:
        pools = [[nonce % SIGNAL_POOL_SIZE for nonce in nonces] for nonces in (self.nonces, self.other_nonces)]
        begin, end = (pool_normal(self.key, pool, shape, position) for pool in pools)
        return self._interpolate(begin, end, *pools)

    def _interpolate(self, begin: Tensor, end: Tensor, begin_ids: Sequence[int], end_ids: Sequence[int]) -> Tensor:
        """Interpolate noise (B, …); that of equal nonces or pool indices is equal and stays."""
        is_different = torch.tensor(begin_ids) != torch.tensor(end_ids)
        angle = (torch.tensor(self.weights) * is_different * torch.pi / 2).view(-1, *[1] * (begin.ndim - 1))
        return torch.cos(angle) * begin + torch.sin(angle) * end

    def select_rows(self, rows: slice) -> "SlerpNoise":
        return SlerpNoise(self.key, self.nonces[rows], self.is_marked, self.other_nonces[rows], self.weights[rows])


def interpolate_conditions(begin: Condition, end: Condition, weights: Sequence[float]) -> Condition:
    """Interpolate two conditions linearly, per row; the shorter of two texts is padded with zeros."""
    begin, end = pad_condition(begin, end), pad_condition(end, begin)
    begin_weight_B = torch.tensor([1 - weight for weight in weights])
    end_weight_B = torch.tensor(list(weights))

    def lerp(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        if a is None or b is None:
            return a if b is None else b
        u, v = (weight_B.to(a.dtype).view(-1, *[1] * (a.ndim - 1)) for weight_B in (begin_weight_B, end_weight_B))
        return torch.where(u == 0, b, torch.where(v == 0, a, u * a + v * b))

    cond = Condition(lerp(begin.tokens, end.tokens), None, lerp(begin.vector, end.vector), lerp(begin.field, end.field))
    if cond.tokens is None or begin.mask is None or end.mask is None:
        return cond
    mask_BS = (begin.mask & (begin_weight_B != 0)[:, None]) | (end.mask & (end_weight_B != 0)[:, None])
    longest = max(int(mask_BS.sum(1).max()), 1)
    return replace(cond, tokens=cond.tokens[:, :longest], mask=mask_BS[:, :longest])
