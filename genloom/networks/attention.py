"""Softmax attention between queries and keys, in the fastest form for the hardware, and rotary positions.

Shape letters: B batch, H heads, G key heads, L queries, S keys, K head width.
"""

from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

EXPLICIT_MAX_KEYS = 1024  # beyond this the score matrix costs more memory than it saves time


def compute_attention(
    q_BHLK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """Return the values weighted by the softmax of the scaled scores, (B, H, L, K).

    `attn_mask` is a boolean mask that broadcasts to B H L S; `is_causal` lets query i see keys 0..i and needs L = S.
    Equal groups of query heads share a key head (grouped-query attention, Ainslie et al. 2023).
    """
    if k_BGSK.shape[1] != q_BHLK.shape[1]:
        group_size = q_BHLK.shape[1] // k_BGSK.shape[1]
        k_BGSK, v_BGSK = k_BGSK.repeat_interleave(group_size, 1), v_BGSK.repeat_interleave(group_size, 1)
    # torch's fused attention is several times slower than plain products on CPUs in bfloat16 (docs/log.md).
    if q_BHLK.device.type == "cpu" and q_BHLK.dtype == torch.bfloat16 and k_BGSK.shape[2] <= EXPLICIT_MAX_KEYS:
        return attend_explicitly(q_BHLK, k_BGSK, v_BGSK, attn_mask, is_causal and attn_mask is None)
    return F.scaled_dot_product_attention(
        q_BHLK, k_BGSK, v_BGSK, attn_mask=attn_mask, is_causal=is_causal and attn_mask is None
    )


def attend_explicitly(
    q_BHLK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """Compute `compute_attention` with plain matrix products."""
    q_BHLK = q_BHLK / sqrt(q_BHLK.shape[-1])
    if is_causal:  # baddbmm adds the mask within the product, which saves two passes over the scores
        q, k = q_BHLK.flatten(0, 1), k_BHSK.flatten(0, 1)
        build_bias = build_causal_bias if torch.compiler.is_compiling() else get_cached_causal_bias
        scores = torch.baddbmm(build_bias(q.shape[1], q.dtype), q, k.mT).view(*q_BHLK.shape[:3], -1)
        return scores.softmax(-1) @ v_BHSK
    scores_BHLS = q_BHLK @ k_BHSK.mT
    if attn_mask is not None:
        scores_BHLS = scores_BHLS.masked_fill(~attn_mask, float("-inf"))
    return scores_BHLS.softmax(-1) @ v_BHSK


def build_causal_bias(length: int, dtype: torch.dtype) -> Tensor:
    """Return minus infinity for keys after the query, else zero; (L, L)."""
    return torch.full((length, length), float("-inf"), dtype=dtype).triu(1)


@lru_cache(maxsize=8)
def get_cached_causal_bias(length: int, dtype: torch.dtype) -> Tensor:
    """Return `build_causal_bias` from a cache; compiled code builds it within its own program instead."""
    with torch.inference_mode(False):  # training may use it next
        return build_causal_bias(length, dtype)


def build_row_slices(**sizes: int) -> dict[str, slice]:
    """Return the rows of each target in a fused linear layer that stacks targets of these sizes."""
    ends = accumulate(sizes.values())
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


@dataclass(frozen=True)
class RotaryScaling:
    """Scaling of rotary frequencies for longer texts: uniform, or as in Llama 3 if `original_length` is above 0."""

    factor: float = 1.0
    original_length: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0

    def __call__(self, inv_freq_K: Tensor) -> Tensor:
        if not self.original_length:
            return inv_freq_K / self.factor
        cycles_K = self.original_length * inv_freq_K / (2 * pi)
        smooth_K = ((cycles_K - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)).clamp(0, 1)
        return smooth_K * inv_freq_K + (1 - smooth_K) * inv_freq_K / self.factor


class RotaryEmbedding:
    """Rotary positions (Su et al. 2021), in the half-split layout of Llama's weights; positions may differ by row.

    If the positions after the first fill a grid, row by row, the angles follow the coordinates on each of its axes.
    """

    def __init__(self, width: int, base: float, scaling: RotaryScaling = RotaryScaling(), grid: tuple[int, ...] = ()):
        channels_K = torch.arange(
            0, width, 2, dtype=torch.float32, device="cpu"
        )  # also while weights are on the meta device
        self.inv_freq_K, self.grid = scaling(base ** (-channels_K / width)), grid

    def with_grid(self, grid: tuple[int, ...]) -> "RotaryEmbedding":
        """Return the same angles for another grid."""
        other = copy(self)
        other.grid = grid
        return other

    def compute_cos_sin(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return cosines and sines for `positions` (L) or (B, L), shaped to broadcast over heads."""
        coordinates = to_grid_coordinates(self.grid, positions) if self.grid else positions[..., None]
        axes, num_angles = coordinates.shape[-1], len(self.inv_freq_K)
        inv_freq = self.inv_freq_K[: num_angles // axes * axes].to(positions.device).view(-1, axes)
        # Features that do not suffice for another frequency on every axis are not rotated.
        angles = F.pad((coordinates.float()[..., None, :] * inv_freq).flatten(-2), (0, num_angles % axes))
        full_angles = torch.cat([angles, angles], -1)
        full_angles = full_angles if positions.ndim == 1 else full_angles[:, None]
        return full_angles.cos().to(dtype), full_angles.sin().to(dtype)


def to_grid_coordinates(grid: tuple[int, ...], positions: Tensor) -> Tensor:
    """Return the coordinates of positions on each axis, (..., axes); position 0, before the grid, has -1 on all."""
    remainder, coordinates = positions - 1, []
    for side in reversed(grid):
        coordinates.append(remainder % side)
        remainder = remainder.div(side, rounding_mode="floor")
    return torch.where(positions[..., None] > 0, torch.stack(coordinates[::-1], -1), -1)


def apply_rotary(x_BHLK: Tensor, cos_sin: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = cos_sin
    left, right = x_BHLK.chunk(2, -1)
    return x_BHLK * cos + torch.cat([-right, left], -1) * sin
