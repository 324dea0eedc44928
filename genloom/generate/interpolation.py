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
class Toward:
    """Where each row of a request goes, and how far of the way: 0 is its own prompt and nonce, 1 these."""

    prompts: tuple[str, ...]
    nonces: tuple[int, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        assert len(self.prompts) == len(self.nonces) == len(self.shares)
        assert all(0 <= share <= 1 for share in self.shares)

    def rows(self, rows: slice) -> "Toward":
        return Toward(self.prompts[rows], self.nonces[rows], self.shares[rows])


@dataclass(frozen=True)
class Turned(Noise):
    """Noise on the way to that of other nonces: still standard normal wherever one stops."""

    others: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()

    def normal(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Spherical interpolation (Shoemake 1985) of independent draws, whose angle is near a right one."""
        begin, end = (Noise(self.key, nonces).normal(shape, position) for nonces in (self.nonces, self.others))
        apart = torch.tensor(self.nonces) != torch.tensor(self.others)
        angle = (torch.tensor(self.shares) * apart * torch.pi / 2).view(-1, *[1] * len(shape))
        return torch.cos(angle) * begin + torch.sin(angle) * end

    def rows(self, rows: slice) -> "Turned":
        return Turned(self.key, self.nonces[rows], self.others[rows], self.shares[rows])


def mixed(begin: Sequence[np.ndarray], end: Sequence[np.ndarray], shares: Sequence[float]) -> list[np.ndarray]:
    """States (S, D) that go over from those of one prompt to those of another; the shorter is filled up with zeros."""
    return [mix(a, b, share) for a, b, share in zip(begin, end, shares, strict=True)]


def mix(begin_SD: np.ndarray, end_SD: np.ndarray, share: float) -> np.ndarray:
    if share in (0, 1):
        return end_SD if share else begin_SD
    longest = max(len(begin_SD), len(end_SD))
    begin, end = (np.pad(states, ((0, longest - len(states)), (0, 0))) for states in (begin_SD, end_SD))
    return ((1 - share) * begin + share * end).astype(np.float32)
