"""Softmax attention between queries and keys, in the form that is fastest where it runs.

Shape letters: B batch, H heads, G key heads, L queries, S keys, K head width.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

WRITTEN_OUT_UP_TO = 1024  # keys; beyond this the score matrix costs more memory than it saves time


def attend(
    q_BHLK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, allowed: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Mix values by the softmax of scaled scores; (B, H, L, K).

    `allowed` is a boolean mask that broadcasts to B H L S; `causal` lets query i see keys 0..i and needs L = S. Key
    heads are shared by equal groups of query heads (grouped-query attention, Ainslie et al. 2023).
    """
    if k_BGSK.shape[1] != q_BHLK.shape[1]:
        share = q_BHLK.shape[1] // k_BGSK.shape[1]
        k_BGSK, v_BGSK = k_BGSK.repeat_interleave(share, 1), v_BGSK.repeat_interleave(share, 1)
    # torch's fused attention is several times slower than plain products on CPUs in bfloat16 (docs/log.md).
    if q_BHLK.device.type == "cpu" and q_BHLK.dtype == torch.bfloat16 and k_BGSK.shape[2] <= WRITTEN_OUT_UP_TO:
        return written_out(q_BHLK, k_BGSK, v_BGSK, allowed, causal and allowed is None)
    return F.scaled_dot_product_attention(
        q_BHLK, k_BGSK, v_BGSK, attn_mask=allowed, is_causal=causal and allowed is None
    )


def written_out(
    q_BHLK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, allowed: Tensor | None = None, causal: bool = False
) -> Tensor:
    q_BHLK = q_BHLK / sqrt(q_BHLK.shape[-1])
    if causal:  # the mask is added within the product, which saves two passes over the scores
        q, k = q_BHLK.flatten(0, 1), k_BHSK.flatten(0, 1)
        ahead = above_diagonal if torch.compiler.is_compiling() else remembered_above_diagonal
        scores = torch.baddbmm(ahead(q.shape[1], q.dtype), q, k.mT).view(*q_BHLK.shape[:3], -1)
        return scores.softmax(-1) @ v_BHSK
    scores_BHLS = q_BHLK @ k_BHSK.mT
    if allowed is not None:
        scores_BHLS = scores_BHLS.masked_fill(~allowed, float("-inf"))
    return scores_BHLS.softmax(-1) @ v_BHSK


def above_diagonal(length: int, dtype: torch.dtype) -> Tensor:
    """Minus infinity where a query would look ahead, else zero; (L, L)."""
    return torch.full((length, length), float("-inf"), dtype=dtype).triu(1)


@lru_cache(maxsize=8)
def remembered_above_diagonal(length: int, dtype: torch.dtype) -> Tensor:
    """`above_diagonal`, made once; a compiler makes it part of its own program instead."""
    with torch.inference_mode(False):  # it may be used in training next
        return above_diagonal(length, dtype)


def spans(**sizes: int) -> dict[str, slice]:
    """The rows of a linear map that holds several maps of these sizes, one after the other."""
    ends = accumulate(sizes.values())
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


@dataclass(frozen=True)
class Scaling:
    """How rotary positions are stretched to longer texts: all alike, or as in Llama 3, where `length` is above 0."""

    scale: float = 1.0
    length: int = 0
    low: float = 1.0
    high: float = 4.0

    def __call__(self, rates_K: Tensor) -> Tensor:
        if not self.length:
            return rates_K / self.scale
        turns_K = self.length * rates_K / (2 * pi)
        kept_K = ((turns_K - self.low) / (self.high - self.low)).clamp(0, 1)
        return kept_K * rates_K + (1 - kept_K) * rates_K / self.scale


class Rotary:
    """Rotary positions (Su et al. 2021), in the half-split layout of Llama's weights; positions may differ by row.

    Where positions after the first fill a grid, row by row, they turn by their place on each of its axes.
    """

    def __init__(self, width: int, base: float, scaling: Scaling = Scaling(), grid: tuple[int, ...] = ()):
        places_K = torch.arange(0, width, 2, dtype=torch.float32, device="cpu")  # also where weights have no place
        self.rates_K, self.grid = scaling(base ** (-places_K / width)), grid

    def angles(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines for `positions` (L) or (B, L), shaped to broadcast over heads."""
        places = places_on(self.grid, positions) if self.grid else positions[..., None]
        axes = places.shape[-1]
        angles = (places.float()[..., None, :] * self.rates_K.to(positions.device).view(-1, axes)).flatten(-2)
        both = torch.cat([angles, angles], -1)
        both = both if positions.ndim == 1 else both[:, None]
        return both.cos().to(dtype), both.sin().to(dtype)


def places_on(grid: tuple[int, ...], positions: Tensor) -> Tensor:
    """Where the positions lie on each axis, (..., axes); the first, which stands before the grid, at -1 on all."""
    rest, places = positions - 1, []
    for side in reversed(grid):
        places.append(rest % side)
        rest = rest.div(side, rounding_mode="floor")
    return torch.where(positions[..., None] > 0, torch.stack(places[::-1], -1), -1)


def rotate(x_BHLK: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = angles
    left, right = x_BHLK.chunk(2, -1)
    return x_BHLK * cos + torch.cat([-right, left], -1) * sin
