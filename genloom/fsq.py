"""Finite scalar quantisation: each channel is rounded to a few levels, so that all channels of a place are one code.

Mentzer et al. 2023, "Finite scalar quantization: VQ-VAE made simple".

Shape letters: B batch, C channels, one for each of the `levels`.
"""

from collections.abc import Sequence
from math import atanh, prod

import torch
from torch import Tensor

MAX_CODEBOOK_SIZE = 2**16  # codes: what two bytes count


def check_levels(levels: Sequence[int]) -> None:
    """ValueError where there are no such codes."""
    if not levels or min(levels) < 2 or prod(levels) >= MAX_CODEBOOK_SIZE:
        raise ValueError(
            f"levels must be whole numbers from 2 on whose product is below {MAX_CODEBOOK_SIZE}, got {list(levels)}. "
            "Choose for example [8, 8, 8, 8]."
        )


def quantize(x: Tensor, levels: Sequence[int]) -> Tensor:
    """Any numbers, B C *grid, as the nearest points in [-1, 1] after squashing; gradients pass the rounding unseen."""
    half, offset, shift = (to_channel_tensor(values, x) for values in zip(*map(compute_bounds, levels), strict=True))
    bounded_x = torch.tanh(x + shift) * half - offset
    steps = bounded_x + (bounded_x.round() - bounded_x).detach()
    return steps / to_channel_tensor([level // 2 for level in levels], x)


def compute_bounds(level: int) -> tuple[float, float, float]:
    """Half the reach of a channel, by how much it is off the middle where levels are even, and so for its zero."""
    half, offset = (level - 1) * (1 + 1e-3) / 2, 0.5 * (level % 2 == 0)
    return half, offset, atanh(offset / half)


def codes_to_indices(codes: Tensor, levels: Sequence[int]) -> Tensor:
    """The numbers, B *grid from 0 to below the product of the levels, of points that `rounded` gave."""
    half = to_channel_tensor([level // 2 for level in levels], codes)
    digits = (codes * half + half).round().long()
    basis = torch.tensor([prod(levels[:i]) for i in range(len(levels))], device=codes.device)
    return (digits * basis.view(1, -1, *[1] * (codes.ndim - 2))).sum(1)


def indices_to_codes(indices: Tensor, levels: Sequence[int]) -> Tensor:
    """The points, B C *grid, of code numbers B *grid."""
    channels = []
    for i, level in enumerate(levels):
        digit = indices.div(prod(levels[:i]), rounding_mode="floor") % level
        channels.append(digit.float() / (level // 2) - 1)
    return torch.stack(channels, 1)


def to_channel_tensor(values: Sequence[float], like: Tensor) -> Tensor:
    """A number a channel, to be multiplied with B C *grid."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, *[1] * (like.ndim - 2))
