"""Interpolation between two outputs: spherical for their noise, linear for the states of their prompts.

Shape letters: B rows, S states of a prompt, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genloom.noise import Noise


@dataclass(frozen=True)
class Interpolation:
    """The other end of each row's interpolation, and its weight: 0 is the request's own prompt and nonce, 1 these."""

    prompts: tuple[str, ...]
    nonces: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        assert len(self.prompts) == len(self.nonces) == len(self.weights)
        assert all(0 <= weight <= 1 for weight in self.weights)

    def select_rows(self, rows: slice) -> "Interpolation":
        return Interpolation(self.prompts[rows], self.nonces[rows], self.weights[rows])


@dataclass(frozen=True)
class SlerpNoise(Noise):
    """Noise between that of two nonces; it is standard normal at every weight."""

    other_nonces: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()

    def normal(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Interpolate spherically (Shoemake 1985); independent draws are nearly orthogonal."""
        begin, end = (Noise(self.key, nonces).normal(shape, position) for nonces in (self.nonces, self.other_nonces))
        is_different = torch.tensor(self.nonces) != torch.tensor(self.other_nonces)
        angle = (torch.tensor(self.weights) * is_different * torch.pi / 2).view(-1, *[1] * len(shape))
        return torch.cos(angle) * begin + torch.sin(angle) * end

    def select_rows(self, rows: slice) -> "SlerpNoise":
        return SlerpNoise(self.key, self.nonces[rows], self.other_nonces[rows], self.weights[rows])


def interpolate_states(
    begin: Sequence[np.ndarray], end: Sequence[np.ndarray], weights: Sequence[float]
) -> list[np.ndarray]:
    """Interpolate the states (S, D) of two prompts linearly, per row; the shorter is padded with zeros."""
    return [lerp_states(a, b, weight) for a, b, weight in zip(begin, end, weights, strict=True)]


def lerp_states(begin_SD: np.ndarray, end_SD: np.ndarray, weight: float) -> np.ndarray:
    if weight in (0, 1):
        return end_SD if weight else begin_SD
    max_length = max(len(begin_SD), len(end_SD))
    begin, end = (np.pad(states, ((0, max_length - len(states)), (0, 0))) for states in (begin_SD, end_SD))
    return ((1 - weight) * begin + weight * end).astype(np.float32)
