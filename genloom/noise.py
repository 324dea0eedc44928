"""All randomness of sampling and training, drawn from a key, a nonce and a position.

Numbers come from a pseudo-random function (Philox-4x64, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3") computed on the CPU, so that every device and batch size gets the same numbers. The noise of a row depends on its
own nonce alone: eight rows sampled together equal eight rows sampled one by one.

Marked noise repeats a part of its numbers for all nonces of a pool, so that the key's owner can search the pool and
recognise what was made with it; every single number keeps its distribution.

Shape letters: P pool indices, N contexts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from genloom.types import TokenContext

CONTEXT_WIDTH = 4  # preceding tokens that key the noise, so that a watermark is detectable in an excerpt
NUM_NONCES = 2**53  # large enough that no two outputs share a nonce by chance; every reader of JSON keeps it exact
TOKEN_POOL_SIZE = 2**10  # pool indices of marked tokens, all of which detection tries
SIGNAL_POOL_SIZE = 2**16  # those of marked signals
POOL_SHARE = 0.9  # of the variance of a marked signal's noise; the rest differs between the nonces of a pool index
FREE_CONTEXTS = 8  # one in so many contexts uses the whole nonce, so that outputs of one pool index differ
_MASK = 2**64 - 1
_BY_POSITION, _BY_CONTEXT, _BY_LAYER, _POOL_TOKENS, _POOL_SIGNAL = 0, 1, 2, 3, 4  # streams
_PHILOX_MULTIPLIERS = np.array([0xD2E7470EE14C6C93, 0xCA5A826395121157], np.uint64)
_PHILOX_STEPS = np.array([0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B], np.uint64)
_PHILOX_ROUNDS = 10
_PHILOX_BLOCK = 1 << 13  # numbers that are computed together, which fit in a cache


@dataclass(frozen=True)
class Noise:
    """The random numbers of `len(nonces)` rows. `key` is the owner's secret, or the seed of a training run.

    With `is_marked`, tokens and the first noise of signals depend on the nonce modulo the size of a pool, as far as
    detection needs it; everything else on the whole nonce.
    """

    key: int
    nonces: tuple[int, ...]
    is_marked: bool = False

    def __len__(self) -> int:
        return len(self.nonces)

    def select_rows(self, rows: slice) -> Noise:
        return Noise(self.key, self.nonces[rows], self.is_marked)

    def normal(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Return standard normal numbers, (rows, *shape) float32."""
        n = prod(shape)
        return to_normal(self._uniform_rows(n + n % 2, position), shape)

    def marked_normal(self, shape: Sequence[int], position: int = 0) -> Tensor:
        """Return standard normal numbers like `normal`; of marked noise, with that of the pool index in them."""
        if not self.is_marked:
            return self.normal(shape, position)
        pool = self._pool_normal(shape, position)
        return POOL_SHARE**0.5 * pool + (1 - POOL_SHARE) ** 0.5 * self.normal(shape, position)

    def _pool_normal(self, shape: Sequence[int], position: int) -> Tensor:
        return pool_normal(self.key, [nonce % SIGNAL_POOL_SIZE for nonce in self.nonces], shape, position)

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

    def sample_tokens(
        self,
        logits_BV: Tensor,
        contexts: Sequence[np.ndarray],
        token_contexts: Sequence[TokenContext] | None = None,
    ) -> Tensor:
        """Sample one token per row (Gumbel-max), given all tokens before it; (rows,) int64.

        The noise is keyed by the last few tokens, so that the key's owner can detect a watermark in any passage
        (Aaronson 2022). A window that occurred before in the row would repeat its noise and cause loops: there the
        position is the key instead. Marked noise is keyed by `token_contexts` if a codec gives them.
        """
        assert len(contexts) == len(logits_BV) == len(self)
        rows, vocab = logits_BV.float().cpu().numpy(), logits_BV.shape[1]
        if self.is_marked and token_contexts is not None:
            row_bits = [
                self._hashed_bits(i, len(context), token_context)
                for i, (context, token_context) in enumerate(zip(contexts, token_contexts, strict=True))
            ]
        else:
            row_bits = [self._token_bits(i, context, vocab) for i, context in enumerate(contexts)]
        return torch.tensor([sample_categorical(row, bits) for row, bits in zip(rows, row_bits, strict=True)])

    def _token_bits(self, row: int, context: np.ndarray, vocab: int) -> np.ndarray:
        window = np.asarray(context[-CONTEXT_WIDTH:], dtype=np.int64)
        if len(window) < CONTEXT_WIDTH or is_repeated(np.asarray(context), window):
            return self._bits(row, vocab, len(context), _BY_POSITION)
        return self._context_bits(row, vocab, fold_in(window.tolist()))

    def _hashed_bits(self, row: int, position: int, context: TokenContext) -> np.ndarray:
        if context.window is None:
            return self._bits(row, len(context.candidates), position, _BY_POSITION)
        count = int(context.candidates.max()) + 1
        return self._context_bits(row, count, fold_in(context.window))[context.candidates]

    def _context_bits(self, row: int, count: int, folded: int) -> np.ndarray:
        if not self.is_marked or is_free(self.key, folded):
            return self._bits(row, count, folded, _BY_CONTEXT)
        return draw_bits(self.key, self.nonces[row] % TOKEN_POOL_SIZE, count, folded, _POOL_TOKENS)

    def _uniform_rows(self, n: int, position: int) -> np.ndarray:
        return np.stack([self._uniform_row(i, n, position, _BY_POSITION) for i in range(len(self))])

    def _uniform_row(self, row: int, n: int, position: int, stream: int) -> np.ndarray:
        return to_uniform(self._bits(row, n, position, stream))

    def _bits(self, row: int, n: int, position: int, stream: int) -> np.ndarray:
        """Return random numbers of 32 bits."""
        return draw_bits(self.key, self.nonces[row], n, position, stream)


def draw_bits(key: int, nonce: int, n: int, position: int, stream: int) -> np.ndarray:
    """Return n random numbers of 32 bits, a function of the four other arguments."""
    keys = np.array([key & _MASK, nonce & _MASK], np.uint64)  # a list would pass through float64
    bits = np.random.Philox(key=keys, counter=np.array([0, 0, position & _MASK, stream], np.uint64))
    return bits.random_raw((n + 1) // 2).view(np.uint32)[:n]


def pool_normal(key: int, pool_indices: Sequence[int], shape: Sequence[int], position: int = 0) -> Tensor:
    """Return the part of `Noise.marked_normal` that all nonces of a pool index share, (P, *shape) float32."""
    n = prod(shape)
    bits = [draw_bits(key, index, n + n % 2, position, _POOL_SIGNAL) for index in pool_indices]
    return to_normal(to_uniform(np.stack(bits)), shape)


def pool_token_bits(
    key: int, pool_indices: Sequence[int] | np.ndarray, folded: np.ndarray, tokens: np.ndarray
) -> np.ndarray:
    """Return the random numbers of 32 bits of single tokens in marked noise, (P, N) uint32.

    `folded` (N uint64) are the contexts by `fold_windows`, `tokens` (N) the hashes of the tokens after them. These are
    the numbers that `Noise.sample_tokens` draws after contexts that are neither free nor repeated.
    """
    tokens, indices = np.asarray(tokens, np.uint64), np.asarray(pool_indices, np.uint64)
    block, lane = tokens // np.uint64(8) + np.uint64(1), (tokens // np.uint64(2) % np.uint64(4)).astype(np.int64)
    shift = np.uint64(32) * (tokens % np.uint64(2))
    bits = np.empty((len(indices), len(tokens)), np.uint32)
    rows = max(_PHILOX_BLOCK // max(len(tokens), 1), 1)
    for begin in range(0, len(indices), rows):
        words = _compute_philox(np.uint64(key & _MASK), indices[begin : begin + rows, None], block, folded)
        bits[begin : begin + rows] = np.choose(lane, words) >> shift
    return bits


def _compute_philox(key: np.uint64, nonce: np.ndarray, block: np.ndarray, position: np.ndarray) -> list[np.ndarray]:
    """Return the four words of Philox-4x64-10 in the stream of marked tokens; nonces (P, 1), blocks and positions N."""
    shape = np.broadcast_shapes(nonce.shape, block.shape)
    a, c = np.broadcast_to(block, shape), np.broadcast_to(position, shape)
    b, d = np.uint64(0), np.uint64(_POOL_TOKENS)
    keys = [np.full((1, 1), key), nonce]
    for _ in range(_PHILOX_ROUNDS):
        high_a, low_a = _multiply_words(a, _PHILOX_MULTIPLIERS[0])
        high_c, low_c = _multiply_words(c, _PHILOX_MULTIPLIERS[1])
        high_c ^= b
        high_c ^= keys[0]
        high_a ^= d
        high_a ^= keys[1]
        a, b, c, d = high_c, low_c, high_a, low_a
        keys = [keys[0] + _PHILOX_STEPS[0], keys[1] + _PHILOX_STEPS[1]]
    return [a, b, c, d]


def _multiply_words(x: np.ndarray, factor: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper and the lower 64 bits of a product."""
    half, low_bits = np.uint64(32), np.uint64(0xFFFFFFFF)
    factor_low, factor_high = factor & low_bits, factor >> half
    x_low, x_high = x & low_bits, x >> half
    middle = x_low * factor_low
    middle >>= half
    middle += x_high * factor_low
    x_low *= factor_high
    x_low += middle & low_bits
    x_high *= factor_high
    middle >>= half
    x_high += middle
    x_low >>= half
    x_high += x_low
    return x_high, x * factor


def is_free(key: int, folded: int) -> bool:
    """Return whether marked noise after this context depends on the whole nonce."""
    x = (folded ^ key) & _MASK  # as `are_free`, in a tenth of the time of an array for each token
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return (x ^ (x >> 31)) % FREE_CONTEXTS == 0


def are_free(key: int, folded: np.ndarray) -> np.ndarray:
    """Return which contexts (N uint64) are free: a fraction of 1 / FREE_CONTEXTS that the key chooses."""
    x = folded ^ np.uint64(key & _MASK)  # splitmix64 (Steele et al. 2014)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))) % np.uint64(FREE_CONTEXTS) == 0


def fold_windows(windows: np.ndarray) -> np.ndarray:
    """Return `fold_in` of every row of an integer array (N, width), as N uint64."""
    value = np.full(len(windows), 0xCBF29CE484222325, np.uint64)
    for column in np.asarray(windows).astype(np.uint64).T:
        value = (value ^ column) * np.uint64(0x100000001B3)
    return value


def to_normal(u: np.ndarray, shape: Sequence[int]) -> Tensor:
    """Return standard normal numbers of uniform ones (Box–Muller), (rows, *shape) float32."""
    radius, angle = np.sqrt(-2 * np.log(u[:, 0::2])), 2 * np.pi * u[:, 1::2]
    values = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)[:, : prod(shape)]
    return torch.from_numpy(values.astype(np.float32)).view(len(u), *shape)


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
