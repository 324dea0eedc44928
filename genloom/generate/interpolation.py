"""Ways between two prompts and two draws of chance: the noise turns from one to the other, the states are mixed.

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
    """Where each row of a request goes, and how far of the way: 0 is its own prompt and nonce, 1 these."""

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
    """Noise on the way to that of other nonces: still standard normal wherever one stops."""

    other_nonces: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()

    def normal(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Spherical interpolation (Shoemake 1985) of independent draws, whose angle is near a right one."""
        begin, end = (Noise(self.key, nonces).normal(shape, position) for nonces in (self.nonces, self.other_nonces))
        is_different = torch.tensor(self.nonces) != torch.tensor(self.other_nonces)
        angle = (torch.tensor(self.weights) * is_different * torch.pi / 2).view(-1, *[1] * len(shape))
        return torch.cos(angle) * begin + torch.sin(angle) * end

    def select_rows(self, rows: slice) -> "SlerpNoise":
        return SlerpNoise(self.key, self.nonces[rows], self.other_nonces[rows], self.weights[rows])


def interpolate_states(
    begin: Sequence[np.ndarray], end: Sequence[np.ndarray], weights: Sequence[float]
) -> list[np.ndarray]:
    """States (S, D) that go over from those of one prompt to those of another; the shorter is filled up with zeros."""
    return [lerp_states(a, b, weight) for a, b, weight in zip(begin, end, weights, strict=True)]


def lerp_states(begin_SD: np.ndarray, end_SD: np.ndarray, weight: float) -> np.ndarray:
    if weight in (0, 1):
        return end_SD if weight else begin_SD
    max_length = max(len(begin_SD), len(end_SD))
    begin, end = (np.pad(states, ((0, max_length - len(states)), (0, 0))) for states in (begin_SD, end_SD))
    return ((1 - weight) * begin + weight * end).astype(np.float32)
