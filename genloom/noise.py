"""All randomness of sampling and training, drawn from a key, a nonce and a position.

Every draw is a pseudo-random function (Philox-4x64, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3")
computed on the CPU, so that each device and each batch size gets the same numbers. A row's noise depends on its own
nonce alone: eight rows drawn together equal eight rows drawn one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

WINDOW = 4  # symbols before a choice that key its noise, so that a mark is found again in a passage cut from its text
POOL = 2**10  # nonces for text: small enough for detection to try them all
SIGNAL_POOL = 2**16  # nonces for signals, of which each is tried with one product
_MASK = 2**64 - 1
_BY_POSITION, _BY_CONTEXT, _BY_LAYER = 0, 1, 2


@dataclass(frozen=True)
class Noise:
    """The chance of `len(nonces)` rows. `key` is the owner's secret, or the seed of a training run."""

    key: int
    nonces: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.nonces)

    def rows(self, rows: slice) -> Noise:
        return Noise(self.key, self.nonces[rows])

    def normal(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Standard normal numbers, (rows, *shape) float32, by Box and Muller."""
        n = prod(shape)
        u = self._uniform(n + n % 2, position)
        radius, angle = np.sqrt(-2 * np.log(u[:, 0::2])), 2 * np.pi * u[:, 1::2]
        both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)[:, :n]
        return torch.from_numpy(both.astype(np.float32)).view(len(self), *shape)

    def uniform(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Numbers strictly between 0 and 1, (rows, *shape) float32."""
        u = self._uniform(prod(shape), position).astype(np.float32)
        return torch.from_numpy(np.minimum(u, np.float32(1 - 2**-24))).view(len(self), *shape)

    def gumbel(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Gumbel numbers, (rows, *shape) float32: the argmax of logits plus these is a sample of their softmax."""
        bits = np.stack([self._bits(i, prod(shape), position, _BY_POSITION) for i in range(len(self))])
        return torch.from_numpy(gumbels(bits)).view(len(self), *shape)

    def seeds(self, count: int) -> Tensor:
        """Random numbers (rows, count) int32, apart from all others: for layers that draw something themselves."""
        bits = np.stack([self._bits(i, count, 0, _BY_LAYER) for i in range(len(self))])
        return torch.from_numpy(bits.view(np.int32))

    def choose(self, logits_BV: Tensor, contexts: Sequence[np.ndarray]) -> Tensor:
        """Sample one symbol a row (Gumbel-max), given all symbols before it; (rows,) int64.

        The noise is keyed by the last few symbols, which lets the key's owner find a mark in any passage (Aaronson
        2022). A window seen before in the same row would bring the same noise again and so loops: there the position
        keys it instead.
        """
        assert len(contexts) == len(logits_BV) == len(self)
        rows = logits_BV.float().cpu().numpy()
        drawn = (self._choice(i, context, logits_BV.shape[1]) for i, context in enumerate(contexts))
        return torch.tensor([likeliest(row, bits) for row, bits in zip(rows, drawn, strict=True)])

    def _choice(self, row: int, context: np.ndarray, vocab: int) -> np.ndarray:
        window = np.asarray(context[-WINDOW:], dtype=np.int64)
        if len(window) < WINDOW or repeats(np.asarray(context), window):
            return self._bits(row, vocab, len(context), _BY_POSITION)
        return self._bits(row, vocab, fold(window), _BY_CONTEXT)

    def _uniform(self, n: int, position: int) -> np.ndarray:
        return np.stack([self._draw(i, n, position, _BY_POSITION) for i in range(len(self))])

    def _draw(self, row: int, n: int, position: int, stream: int) -> np.ndarray:
        return fractions(self._bits(row, n, position, stream))

    def _bits(self, row: int, n: int, position: int, stream: int) -> np.ndarray:
        """Random numbers of 32 bits."""
        key = np.array([self.key & _MASK, self.nonces[row] & _MASK], np.uint64)  # a list would pass through float64
        bits = np.random.Philox(key=key, counter=np.array([0, 0, position & _MASK, stream], np.uint64))
        return bits.random_raw((n + 1) // 2).view(np.uint32)[:n]


def fractions(bits: np.ndarray) -> np.ndarray:
    """Numbers strictly between 0 and 1, float64."""
    return (bits + 0.5) * 2.0**-32


def gumbels(bits: np.ndarray) -> np.ndarray:
    return (-np.log(-np.log(fractions(bits)))).astype(np.float32)


def likeliest(logits: np.ndarray, bits: np.ndarray) -> int:
    """Where logits plus Gumbel noise are greatest, of float32 logits (V).

    The logarithms are only taken where they can matter. To beat the likeliest symbol's sum s, a symbol needs noise
    -log(-log u) of at least s - logit, that is -log u of at most exp(logit - s); and 1 - u is less than -log u.
    """
    best = int(logits.argmax())
    rounding = 1e-3 + 1e-6 * abs(float(logits[best]))  # more than float32 rounds
    least = float(logits[best] + gumbels(bits[best : best + 1])[0]) - rounding
    within = (~bits).astype(np.float32) <= np.exp(logits - np.float32(least - 32 * np.log(2)))  # 1 - u, times 2^32
    able = np.flatnonzero(within)
    return int(able[(logits[able] + gumbels(bits[able])).argmax()])


def training_noise(seed: int, step: int, first: int, count: int) -> Noise:
    """The noise of rows `first` to `first + count` of a step's whole batch, however it is cut into pieces or ranks."""
    return Noise(seed, tuple((step << 24) | row for row in range(first, first + count)))


def fold(symbols: np.ndarray) -> int:
    """One 64-bit number of a few symbols (FNV-1a over them)."""
    value = 0xCBF29CE484222325
    for symbol in symbols.tolist():
        value = ((value ^ symbol) * 0x100000001B3) & _MASK
    return value


def repeats(context: np.ndarray, window: np.ndarray) -> bool:
    """Whether `window`, the end of `context`, stands in it an earlier time."""
    n = len(window)
    found = np.ones(max(len(context) - n, 0), dtype=bool)
    for k in range(n):
        found &= context[k : k + len(found)] == window[k]
    return bool(found.any())
