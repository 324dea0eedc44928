"""Finite scalar quantisation: each channel is rounded to a few levels; the channels of a position form one code.

Mentzer et al. 2023, "Finite scalar quantization: VQ-VAE made simple".

Shape letters: B batch, C channels, one for each of the `levels`.
"""

from collections.abc import Sequence
from math import atanh, prod

import torch
from torch import Tensor

from genloom.errors import GenloomError

MAX_CODEBOOK_SIZE = 2**16  # codes that fit in two bytes


def check_levels(levels: Sequence[int]) -> None:
    """Raise ValueError if a codebook cannot have these levels."""
    if not levels or min(levels) < 2 or prod(levels) >= MAX_CODEBOOK_SIZE:
        raise GenloomError("core.bad_fsq_levels", limit=MAX_CODEBOOK_SIZE, levels=list(levels))


def quantize(x: Tensor, levels: Sequence[int]) -> Tensor:
    """Round squashed numbers, B C *grid, to the nearest codes in [-1, 1], with a straight-through gradient."""
    half, offset, shift = (to_channel_tensor(values, x) for values in zip(*map(compute_bounds, levels), strict=True))
    bounded_x = torch.tanh(x + shift) * half - offset
    steps = bounded_x + (bounded_x.round() - bounded_x).detach()
    return steps / to_channel_tensor([level // 2 for level in levels], x)


def compute_bounds(level: int) -> tuple[float, float, float]:
    """Return half the range of a channel, its offset (for an even number of levels), and the shift that centres it."""
    half, offset = (level - 1) * (1 + 1e-3) / 2, 0.5 * (level % 2 == 0)
    return half, offset, atanh(offset / half)


def codes_to_indices(codes: Tensor, levels: Sequence[int]) -> Tensor:
    """Return the indices, B *grid from 0 to below the product of the levels, of codes that `quantize` returned."""
    half = to_channel_tensor([level // 2 for level in levels], codes)
    digits = (codes * half + half).round().long()
    basis = torch.tensor([prod(levels[:i]) for i in range(len(levels))], device=codes.device)
    return (digits * basis.view(1, -1, *[1] * (codes.ndim - 2))).sum(1)


def indices_to_codes(indices: Tensor, levels: Sequence[int]) -> Tensor:
    """Return the codes, B C *grid, of indices B *grid."""
    channels = []
    for i, level in enumerate(levels):
        digit = indices.div(prod(levels[:i]), rounding_mode="floor") % level
        channels.append(digit.float() / (level // 2) - 1)
    return torch.stack(channels, 1)


def to_channel_tensor(values: Sequence[float], like: Tensor) -> Tensor:
    """Return one number per channel, shaped to multiply B C *grid."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, *[1] * (like.ndim - 2))
