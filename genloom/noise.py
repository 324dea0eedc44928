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

CONTEXT_WIDTH = (
    4  # symbols before a choice that key its noise, so that a mark is found again in a passage cut from its text
)
NUM_TOKEN_NONCES = 2**10  # nonces for text: small enough for detection to try them all
NUM_SIGNAL_NONCES = 2**16  # nonces for signals, of which each is tried with one product
_MASK = 2**64 - 1
_BY_POSITION, _BY_CONTEXT, _BY_LAYER = 0, 1, 2


@dataclass(frozen=True)
class Noise:
    """The chance of `len(nonces)` rows. `key` is the owner's secret, or the seed of a training run."""

    key: int
    nonces: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.nonces)

    def select_rows(self, rows: slice) -> Noise:
        return Noise(self.key, self.nonces[rows])

    def normal(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Standard normal numbers, (rows, *shape) float32, by Box and Muller."""
        n = prod(shape)
        u = self._uniform_rows(n + n % 2, position)
        radius, angle = np.sqrt(-2 * np.log(u[:, 0::2])), 2 * np.pi * u[:, 1::2]
        values = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)[:, :n]
        return torch.from_numpy(values.astype(np.float32)).view(len(self), *shape)

    def uniform(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Numbers strictly between 0 and 1, (rows, *shape) float32."""
        u = self._uniform_rows(prod(shape), position).astype(np.float32)
        return torch.from_numpy(np.minimum(u, np.float32(1 - 2**-24))).view(len(self), *shape)

    def gumbel(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Gumbel numbers, (rows, *shape) float32: the argmax of logits plus these is a sample of their softmax."""
        bits = np.stack([self._bits(i, prod(shape), position, _BY_POSITION) for i in range(len(self))])
        return torch.from_numpy(to_gumbel(bits)).view(len(self), *shape)

    def layer_seeds(self, count: int) -> Tensor:
        """Random numbers (rows, count) int32, apart from all others: for layers that draw something themselves."""
        bits = np.stack([self._bits(i, count, 0, _BY_LAYER) for i in range(len(self))])
        return torch.from_numpy(bits.view(np.int32))

    def sample_tokens(self, logits_BV: Tensor, contexts: Sequence[np.ndarray]) -> Tensor:
        """Sample one symbol a row (Gumbel-max), given all symbols before it; (rows,) int64.

        The noise is keyed by the last few symbols, which lets the key's owner find a mark in any passage (Aaronson
        2022). A window seen before in the same row would bring the same noise again and so loops: there the position
        keys it instead.
        """
        assert len(contexts) == len(logits_BV) == len(self)
        rows = logits_BV.float().cpu().numpy()
        row_bits = (self._token_bits(i, context, logits_BV.shape[1]) for i, context in enumerate(contexts))
        return torch.tensor([sample_categorical(row, bits) for row, bits in zip(rows, row_bits, strict=True)])

    def _token_bits(self, row: int, context: np.ndarray, vocab: int) -> np.ndarray:
        window = np.asarray(context[-CONTEXT_WIDTH:], dtype=np.int64)
        if len(window) < CONTEXT_WIDTH or is_repeated(np.asarray(context), window):
            return self._bits(row, vocab, len(context), _BY_POSITION)
        return self._bits(row, vocab, fold_in(window), _BY_CONTEXT)

    def _uniform_rows(self, n: int, position: int) -> np.ndarray:
        return np.stack([self._uniform_row(i, n, position, _BY_POSITION) for i in range(len(self))])

    def _uniform_row(self, row: int, n: int, position: int, stream: int) -> np.ndarray:
        return to_uniform(self._bits(row, n, position, stream))

    def _bits(self, row: int, n: int, position: int, stream: int) -> np.ndarray:
        """Random numbers of 32 bits."""
        key = np.array([self.key & _MASK, self.nonces[row] & _MASK], np.uint64)  # a list would pass through float64
        bits = np.random.Philox(key=key, counter=np.array([0, 0, position & _MASK, stream], np.uint64))
        return bits.random_raw((n + 1) // 2).view(np.uint32)[:n]


def to_uniform(bits: np.ndarray) -> np.ndarray:
    """Numbers strictly between 0 and 1, float64."""
    return (bits + 0.5) * 2.0**-32


def to_gumbel(bits: np.ndarray) -> np.ndarray:
    return (-np.log(-np.log(to_uniform(bits)))).astype(np.float32)


def sample_categorical(logits: np.ndarray, bits: np.ndarray) -> int:
    """Where logits plus Gumbel noise are greatest, of float32 logits (V).

    The logarithms are only taken where they can matter. To beat the likeliest symbol's sum s, a symbol needs noise
    -log(-log u) of at least s - logit, that is -log u of at most exp(logit - s); and 1 - u is less than -log u.
    """
    best = int(logits.argmax())
    tolerance = 1e-3 + 1e-6 * abs(float(logits[best]))  # more than float32 rounds
    threshold = float(logits[best] + to_gumbel(bits[best : best + 1])[0]) - tolerance
    is_candidate = (~bits).astype(np.float32) <= np.exp(
        logits - np.float32(threshold - 32 * np.log(2))
    )  # 1 - u, times 2^32
    candidates = np.flatnonzero(is_candidate)
    return int(candidates[(logits[candidates] + to_gumbel(bits[candidates])).argmax()])


def build_training_noise(seed: int, step: int, first: int, count: int) -> Noise:
    """The noise of rows `first` to `first + count` of a step's whole batch, however it is cut into pieces or ranks."""
    return Noise(seed, tuple((step << 24) | row for row in range(first, first + count)))


def fold_in(tokens: np.ndarray) -> int:
    """One 64-bit number of a few symbols (FNV-1a over them)."""
    value = 0xCBF29CE484222325
    for token in tokens.tolist():
        value = ((value ^ token) * 0x100000001B3) & _MASK
    return value


def is_repeated(context: np.ndarray, window: np.ndarray) -> bool:
    """Whether `window`, the end of `context`, stands in it an earlier time."""
    n = len(window)
    matches = np.ones(max(len(context) - n, 0), dtype=bool)
    for k in range(n):
        matches &= context[k : k + len(matches)] == window[k]
    return bool(matches.any())
