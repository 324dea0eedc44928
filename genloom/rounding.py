"""Finite scalar quantisation: each channel is rounded to a few levels, so that all channels of a place are one code.

Mentzer et al. 2023, "Finite scalar quantization: VQ-VAE made simple".

Shape letters: B batch, C channels, one for each of the `levels`.
"""

from collections.abc import Sequence
from math import atanh, prod

import torch
from torch import Tensor

LARGEST = 2**16  # codes: what two bytes count


def check_levels(levels: Sequence[int]) -> None:
    """ValueError where there are no such codes."""
    if not levels or min(levels) < 2 or prod(levels) >= LARGEST:
        raise ValueError(
            f"levels must be whole numbers from 2 on whose product is below {LARGEST}, got {list(levels)}. "
            "Choose for example [8, 8, 8, 8]."
        )


def rounded(x: Tensor, levels: Sequence[int]) -> Tensor:
    """Any numbers, B C *grid, as the nearest points in [-1, 1] after squashing; gradients pass the rounding unseen."""
    half, offset, shift = (column(values, x) for values in zip(*map(bounds, levels), strict=True))
    squashed = torch.tanh(x + shift) * half - offset
    steps = squashed + (squashed.round() - squashed).detach()
    return steps / column([level // 2 for level in levels], x)


def bounds(level: int) -> tuple[float, float, float]:
    """Half the reach of a channel, by how much it is off the middle where levels are even, and so for its zero."""
    half, offset = (level - 1) * (1 + 1e-3) / 2, 0.5 * (level % 2 == 0)
    return half, offset, atanh(offset / half)


def codes_of(points: Tensor, levels: Sequence[int]) -> Tensor:
    """The numbers, B *grid from 0 to below the product of the levels, of points that `rounded` gave."""
    half = column([level // 2 for level in levels], points)
    digits = (points * half + half).round().long()
    places = torch.tensor([prod(levels[:i]) for i in range(len(levels))], device=points.device)
    return (digits * places.view(1, -1, *[1] * (points.ndim - 2))).sum(1)


def points_of(codes: Tensor, levels: Sequence[int]) -> Tensor:
    """The points, B C *grid, of code numbers B *grid."""
    found = []
    for i, level in enumerate(levels):
        digit = codes.div(prod(levels[:i]), rounding_mode="floor") % level
        found.append(digit.float() / (level // 2) - 1)
    return torch.stack(found, 1)


def column(values: Sequence[float], like: Tensor) -> Tensor:
    """A number a channel, to be multiplied with B C *grid."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, *[1] * (like.ndim - 2))
