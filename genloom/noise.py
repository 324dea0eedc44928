"""All randomness of sampling and training, drawn from a key, a nonce and a position.

Numbers come from a pseudo-random function (Philox-4x64, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3") computed on the CPU, so that every device and batch size gets the same numbers. The noise of a row depends on its
own nonce alone: eight rows sampled together equal eight rows sampled one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

CONTEXT_WIDTH = 4  # preceding tokens that key the noise, so that a watermark is detectable in an excerpt
NUM_NONCES = 2**53  # large enough that no two outputs share a nonce by chance; every reader of JSON keeps it exact
_MASK = 2**64 - 1
_BY_POSITION, _BY_CONTEXT, _BY_LAYER = 0, 1, 2


@dataclass(frozen=True)
class Noise:
    """The random numbers of `len(nonces)` rows. `key` is the owner's secret, or the seed of a training run."""

    key: int
    nonces: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.nonces)

    def select_rows(self, rows: slice) -> Noise:
        return Noise(self.key, self.nonces[rows])

    def normal(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Return standard normal numbers, (rows, *shape) float32 (Box–Muller)."""
        n = prod(shape)
        u = self._uniform_rows(n + n % 2, position)
        radius, angle = np.sqrt(-2 * np.log(u[:, 0::2])), 2 * np.pi * u[:, 1::2]
        values = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)[:, :n]
        return torch.from_numpy(values.astype(np.float32)).view(len(self), *shape)

    def uniform(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Return numbers strictly between 0 and 1, (rows, *shape) float32."""
        u = self._uniform_rows(prod(shape), position).astype(np.float32)
        return torch.from_numpy(np.minimum(u, np.float32(1 - 2**-24))).view(len(self), *shape)

    def gumbel(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Return Gumbel numbers, (rows, *shape) float32: the argmax of logits plus these samples their softmax."""
        bits = np.stack([self._bits(i, prod(shape), position, _BY_POSITION) for i in range(len(self))])
        return torch.from_numpy(to_gumbel(bits)).view(len(self), *shape)

    def layer_seeds(self, count: int) -> Tensor:
        """Return random numbers (rows, count) int32 of a stream of their own, for layers that use randomness."""
        bits = np.stack([self._bits(i, count, 0, _BY_LAYER) for i in range(len(self))])
        return torch.from_numpy(bits.view(np.int32))

    def sample_tokens(self, logits_BV: Tensor, contexts: Sequence[np.ndarray]) -> Tensor:
        """Sample one token per row (Gumbel-max), given all tokens before it; (rows,) int64.

        The noise is keyed by the last few tokens, so that the key's owner can detect a watermark in any passage
        (Aaronson 2022). A window that occurred before in the row would repeat its noise and cause loops: there the
        position is the key instead.
        """
        assert len(contexts) == len(logits_BV) == len(self)
        rows = logits_BV.float().cpu().numpy()
        row_bits = (self._token_bits(i, context, logits_BV.shape[1]) for i, context in enumerate(contexts))
        return torch.tensor([sample_categorical(row, bits) for row, bits in zip(rows, row_bits, strict=True)])

    def _token_bits(self, row: int, context: np.ndarray, vocab: int) -> np.ndarray:
        window = np.asarray(context[-CONTEXT_WIDTH:], dtype=np.int64)
        if len(window) < CONTEXT_WIDTH or is_repeated(np.asarray(context), window):
            return self._bits(row, vocab, len(context), _BY_POSITION)
        return self._bits(row, vocab, fold_in(window.tolist()), _BY_CONTEXT)

    def _uniform_rows(self, n: int, position: int) -> np.ndarray:
        return np.stack([self._uniform_row(i, n, position, _BY_POSITION) for i in range(len(self))])

    def _uniform_row(self, row: int, n: int, position: int, stream: int) -> np.ndarray:
        return to_uniform(self._bits(row, n, position, stream))

    def _bits(self, row: int, n: int, position: int, stream: int) -> np.ndarray:
        """Return random numbers of 32 bits."""
        key = np.array([self.key & _MASK, self.nonces[row] & _MASK], np.uint64)  # a list would pass through float64
        bits = np.random.Philox(key=key, counter=np.array([0, 0, position & _MASK, stream], np.uint64))
        return bits.random_raw((n + 1) // 2).view(np.uint32)[:n]


def to_uniform(bits: np.ndarray) -> np.ndarray:
    """Return numbers strictly between 0 and 1, float64."""
    return (bits + 0.5) * 2.0**-32


def to_gumbel(bits: np.ndarray) -> np.ndarray:
    return (-np.log(-np.log(to_uniform(bits)))).astype(np.float32)


def sample_categorical(logits: np.ndarray, bits: np.ndarray) -> int:
    """Return the argmax of float32 logits (V) plus Gumbel noise.

    Logarithms are computed only where they can matter. To exceed the sum s of the most likely token, a token needs
    noise -log(-log u) of at least s - logit, that is -log u of at most exp(logit - s); and 1 - u is less than -log u.
    """
    best = int(logits.argmax())
    tolerance = 1e-3 + 1e-6 * abs(float(logits[best]))  # above the rounding error of float32
    threshold = float(logits[best] + to_gumbel(bits[best : best + 1])[0]) - tolerance
    complements = (~bits).astype(np.float32)  # 1 - u, times 2^32
    is_candidate = complements <= np.exp(logits - np.float32(threshold - 32 * np.log(2)))
    candidates = np.flatnonzero(is_candidate)
    return int(candidates[(logits[candidates] + to_gumbel(bits[candidates])).argmax()])


def build_training_noise(seed: int, step: int, first: int, count: int) -> Noise:
    """Return the noise of rows `first` to `first + count` of a step's batch, however it is split into micro-batches."""
    return Noise(seed, tuple((step << 24) | row for row in range(first, first + count)))


def fold_in(tokens: Iterable[int]) -> int:
    """Hash tokens or bytes to one 64-bit number (FNV-1a)."""
    value = 0xCBF29CE484222325
    for token in tokens:
        value = ((value ^ token) * 0x100000001B3) & _MASK
    return value


def is_repeated(context: np.ndarray, window: np.ndarray) -> bool:
    """Return whether `window`, the end of `context`, also occurs earlier in it."""
    n = len(window)
    matches = np.ones(max(len(context) - n, 0), dtype=bool)
    for k in range(n):
        matches &= context[k : k + len(matches)] == window[k]
    return bool(matches.any())
