"""An interpolated, modified Kneser-Ney n-gram model over integer tokens, in numpy.

The formula, for a context c of d tokens (Kneser and Ney 1995; Chen and Goodman 1999, equations 26 and 27):

    p_d(w | c) = max(a(c, w) - D_d(a), 0) / T(c) + held(c) / T(c) * p_{d-1}(w | c without its oldest token)

a(c, w) counts occurrences at the deepest level, and at every other level the different tokens seen before (c, w); T(c)
sums a over w; held(c) sums the discounts taken from c; below level 0 lies the uniform distribution over the vocabulary.
A context that was never seen hands over to the next shorter one.

Shapes: N tokens of a stream, B rows, K = order - 1 context tokens, S different tokens seen in training, V vocabulary.
The levels form a trie: a context of d tokens is (number of the context of its d - 1 newest tokens, its oldest token),
so nothing is hashed, nothing can collide, and any order and vocabulary fit in 64 bits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike, NDArray

NONE = -1
"""In a context: nothing is known to stand here (before the start of a text)."""

_TABLE_ENTRIES = 2**22  # a direct table up to this size is faster to read than a binary search, and costs at most 32 MB
_CHUNK_ROWS = 2**18
_FALLBACK = (0.0, 0.5, 1.0, 1.5)  # where the text is too small to estimate discounts

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """The contexts of one length, and what followed each of them."""

    width: int  # S
    parents: int  # contexts one level down
    contexts: np.ndarray  # C, ascending: parent * S + oldest token
    sizes: np.ndarray  # C: how many different tokens followed
    tokens: np.ndarray  # E: these tokens, context after context, ascending within one
    counts: np.ndarray  # E: a(c, w) >= 1
    discount: np.ndarray  # 4: taken from a count of 0, 1, 2, 3 and more

    @cached_property
    def starts(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.sizes, dtype=np.int64)])

    def owners(self) -> Ints:
        """E: the context of each entry."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def keys(self) -> Ints:
        """E, ascending: context * S + token."""
        return self.owners() * self.width + self.tokens

    def kept(self, entry: Ints | slice = slice(None)) -> NDArray[np.float64]:
        """a - D of some entries."""
        counts = self.counts[entry]
        return counts - self.discount[np.minimum(counts, 3)]

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """C + 1: T(c); the last entry answers for context NONE, which passes everything on."""
        return np.append(np.bincount(self.owners(), self.counts, len(self.sizes)), 1.0)

    @cached_property
    def held(self) -> NDArray[np.float64]:
        """C + 1: what the discounts take from each context, in counts."""
        taken = self.discount[np.minimum(self.counts, 3)]
        return np.append(np.bincount(self.owners(), taken, len(self.sizes)), 1.0)

    @cached_property
    def table(self) -> np.ndarray | None:
        """Context number by key, where the keys are few enough to list; the last entry answers for an unknown key."""
        if self.parents * self.width > _TABLE_ENTRIES:
            return None
        table = np.full(self.parents * self.width + 1, NONE, np.int32)
        table[self.contexts] = np.arange(len(self.contexts))
        return table

    @cached_property
    def dense(self) -> dict[np.dtype, np.ndarray]:
        """C + 1, S: discounted counts by dtype, filled on first use; empty where they would be too many."""
        return {}

    def find(self, parent: Ints, token: Ints) -> Ints:
        """Context numbers, NONE where the context was never seen."""
        key = np.where((parent != NONE) & (token != NONE), parent * self.width + token, NONE)
        return _search(self.contexts, key) if self.table is None else self.table[key].astype(np.int64)

    def count(self, context: Ints, token: Ints) -> Ints:
        """a(c, w), 0 where it was never seen."""
        at = _search(self.keys, np.where((context != NONE) & (token != NONE), context * self.width + token, NONE))
        seen = at != NONE
        found = np.zeros(len(at), np.int64)
        found[seen] = self.counts[at[seen]]
        return found

    def add_to(self, rows_BS: np.ndarray, context_B: Ints, scale_B: np.ndarray) -> None:
        """Adds scale * (a - D) of every token that followed the context."""
        dtype = rows_BS.dtype
        if dtype not in self.dense and len(self.contexts) * self.width <= _TABLE_ENTRIES:
            full = np.zeros((len(self.contexts) + 1) * self.width, dtype)
            full[self.keys] = self.kept()
            self.dense[dtype] = full.reshape(-1, self.width)
        if dtype in self.dense:
            share_BS = self.dense[dtype][context_B]
            share_BS *= scale_B[:, None].astype(dtype)
            rows_BS += share_BS
            return
        row = np.flatnonzero(context_B != NONE)
        size = self.sizes[context_B[row]].astype(np.int64)
        entry = np.arange(size.sum()) + np.repeat(self.starts[context_B[row]] - np.cumsum(size) + size, size)
        row = np.repeat(row, size)
        rows_BS[row, self.tokens[entry]] += (self.kept(entry) * scale_B[row]).astype(dtype)


@dataclass(frozen=True)
class KneserNey:
    """A fitted model. `symbols` are the S tokens seen in training, ascending; all others share what is left evenly."""

    vocab: int
    order: int
    symbols: np.ndarray
    levels: tuple[Level, ...]  # by context length: 0 .. order - 1

    @staticmethod
    def fit(ids: np.ndarray, vocab: int, order: int, discounts: np.ndarray | None = None) -> "KneserNey":
        """Counts a stream of N token ids; `discounts` (order, 4) replaces the estimated ones.

        Raises ValueError for an empty stream, an id outside the vocabulary, or an order outside 1..8.
        """
        ids = np.asarray(ids).reshape(-1)
        if not 1 <= order <= 8:
            raise ValueError(f"the order of an n-gram model must be from 1 to 8, not {order}")
        if len(ids) == 0:
            raise ValueError("an n-gram model needs at least one token to learn from; this text is empty")
        if ids.min() < 0 or ids.max() >= vocab:
            raise ValueError(f"token ids reach from {ids.min()} to {ids.max()}, outside the vocabulary of {vocab}")
        seen = np.bincount(ids, minlength=vocab) > 0
        symbols = np.flatnonzero(seen)
        stream = (np.cumsum(seen) - 1)[ids]
        contexts, deepest, openings = _trie(stream, order, len(symbols))
        levels = _count(stream, contexts, deepest, openings, len(symbols), discounts)
        return KneserNey(vocab, order, _narrow(symbols), levels)

    def __deepcopy__(self, memo: dict) -> "KneserNey":
        return self  # frozen, and large: the copies of a network share it

    @cached_property
    def compact(self) -> Ints:
        """V + 1: the number of a token among `symbols`, or NONE; the last entry answers for NONE itself."""
        compact = np.full(self.vocab + 1, NONE, np.int64)
        compact[self.symbols] = np.arange(len(self.symbols))
        return compact

    def contexts_at(self, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """The contexts [..., K] of positions of a stream, oldest token first, NONE before its start."""
        at = np.asarray(positions)[..., None] + np.arange(1 - self.order, 0)
        return np.where(at >= 0, np.asarray(ids)[np.maximum(at, 0)].astype(np.int64), NONE)

    def contexts_after(self, rows: np.ndarray) -> np.ndarray:
        """The contexts [..., L, K] that end with each token of rows [..., L], NONE before the first."""
        before = [(0, 0)] * (np.ndim(rows) - 1) + [(self.order - 1, 0)]
        padded = np.pad(np.asarray(rows, np.int64), before, constant_values=NONE)
        return np.lib.stride_tricks.sliding_window_view(padded, self.order - 1, axis=-1)[..., 1:, :]

    def log_prob(self, ids: np.ndarray) -> NDArray[np.float64]:
        """Nats, N: log-probability of each token of a stream given the up to K tokens before it."""
        ids = np.asarray(ids).reshape(-1)
        parts = [self._log_prob(ids, first) for first in range(0, len(ids), _CHUNK_ROWS)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _log_prob(self, ids: np.ndarray, first: int) -> NDArray[np.float64]:
        positions = np.arange(first, min(first + _CHUNK_ROWS, len(ids)))
        target = self.compact[ids[positions]]
        probability = np.full(len(positions), 1 / self.vocab)
        for level, context in zip(self.levels, self._find(self.contexts_at(ids, positions)), strict=True):
            count = level.count(context, target)
            kept = count - level.discount[np.minimum(count, 3)]
            share = (kept + level.held[context] * probability) / level.totals[context]
            probability = np.where(context != NONE, share, probability)
        return np.log(probability)

    def distribution(
        self,
        contexts: np.ndarray,
        leave_out: np.ndarray | None = None,
        log: bool = False,
        dtype: DTypeLike = np.float64,
    ) -> np.ndarray:
        """Next-token probabilities [..., V] (or their natural logs) after contexts [..., K], oldest token first.

        Contexts may hold NONE on the left, where nothing is known. With `leave_out` [...], one training occurrence of
        that token after that context is first taken out of the counts, at every level that it reaches, so that a
        network which trains on the same text cannot learn to trust counts that hold the answer. Exact, except that the
        discounts stay those of the whole text, and that an occurrence whose context is cut short by NONE inside the
        text is taken from the deepest known level, as if no other text preceded it. A token that never followed leaves
        nothing to take out.
        """
        rows, found = self._found(contexts)
        left_out = np.full(rows, NONE) if leave_out is None else np.asarray(leave_out)
        return self._spread(found, self.compact[left_out.reshape(-1)], log, dtype).reshape(*rows, self.vocab)

    def read(self, contexts: np.ndarray, dtype: DTypeLike = np.float32) -> tuple[np.ndarray, np.ndarray]:
        """Logs of `distribution` [..., V], and what they rest on, [..., 2K].

        For each length of context, the shortest first: log(1 + T(c)) / 5, 0 where it was never seen, and the share
        held(c) / T(c) that is left to shorter ones, 1 where it was never seen.
        """
        rows, found = self._found(contexts)
        nothing = np.full(len(found[0]), NONE)
        log_p_BV = self._spread(found, nothing, True, dtype)
        basis_B2K = np.empty((len(found[0]), 2 * (self.order - 1)), dtype)
        for depth, (level, context_B) in enumerate(zip(self.levels[1:], found[1:], strict=True)):
            total_B = level.totals[context_B]
            basis_B2K[:, 2 * depth] = np.log1p(total_B * (context_B != NONE)) / 5
            basis_B2K[:, 2 * depth + 1] = level.held[context_B] / total_B
        return log_p_BV.reshape(*rows, self.vocab), basis_B2K.reshape(*rows, basis_B2K.shape[1])

    def _spread(self, found: list[Ints], removed_B: Ints, log: bool, dtype: DTypeLike) -> np.ndarray:
        """Probabilities B V, or their logs, after contexts that were found."""
        rows_BS = np.zeros((len(removed_B), len(self.symbols)), dtype)
        rest_B = self._fill(rows_BS, found, removed_B) / self.vocab
        rows_BS += rest_B[:, None].astype(dtype)
        if log:
            np.log(rows_BS, out=rows_BS)
            np.log(rest_B, out=rest_B)
        if len(self.symbols) == self.vocab:
            return rows_BS
        full_BV = np.empty((len(removed_B), self.vocab), dtype)
        full_BV[:] = rest_B[:, None]
        full_BV[:, self.symbols] = rows_BS
        return full_BV

    def distribution_at(
        self,
        ids: np.ndarray,
        positions: np.ndarray,
        leave_one_out: bool = True,
        log: bool = False,
        dtype: DTypeLike = np.float64,
    ) -> np.ndarray:
        """`distribution` [..., V] at positions [...] of the training stream, by default without what stands there."""
        left_out = np.asarray(ids)[positions] if leave_one_out else None
        return self.distribution(self.contexts_at(ids, positions), left_out, log, dtype)

    def _found(self, contexts: np.ndarray) -> tuple[tuple[int, ...], list[Ints]]:
        """The shape of the rows of contexts [..., K], and their context numbers by level."""
        rows = np.shape(contexts)[:-1]
        return rows, self._find(np.asarray(contexts).reshape(math.prod(rows), self.order - 1))

    def _find(self, contexts_BK: np.ndarray) -> list[Ints]:
        """Context numbers B by level."""
        tokens_BK = self.compact[contexts_BK]
        found = [np.zeros(len(contexts_BK), np.int64)]
        for depth in range(1, self.order):
            found.append(self.levels[depth].find(found[-1], tokens_BK[:, -depth]))
        return found

    def _fill(self, rows_BS: np.ndarray, found: list[Ints], removed_B: Ints) -> NDArray[np.float64]:
        """Adds the discounted shares of all levels; returns the probability left for the uniform distribution."""
        left_B = np.ones(len(rows_BS))
        falls = np.flatnonzero(removed_B != NONE)
        for level, context_B in zip(reversed(self.levels), reversed(found), strict=True):
            total_B, held_B = level.totals[context_B], level.held[context_B]
            where, kept = falls[:0], left_B[:0]
            if len(falls):
                count = level.count(context_B[falls], removed_B[falls])
                hit = count > 0
                # What vanishes here is one fewer for the level below; where no such context is known, go on down.
                stays = np.where(hit, count > 1, context_B[falls] != NONE)
                where, count = falls[hit], count[hit]
                less, more = level.discount[np.minimum(count - 1, 3)], level.discount[np.minimum(count, 3)]
                kept = count - 1 - less
                total_B[where] -= 1
                held_B[where] += less - more
                falls = falls[~stays]
            live_B = total_B > 0
            share_B = np.divide(left_B, total_B, out=np.zeros_like(left_B), where=live_B)
            before = rows_BS[where, removed_B[where]]
            level.add_to(rows_BS, context_B, share_B)
            # Set, not corrected by a difference, which could round below zero.
            rows_BS[where, removed_B[where]] = before + (share_B[where] * kept).astype(rows_BS.dtype)
            left_B = np.where(live_B, share_B * held_B, left_B)
        return left_B

    def arrays(self) -> dict[str, np.ndarray]:
        """The model as plain arrays, as small as they go, for safetensors."""
        arrays = {"shape": np.array([self.vocab, self.order], np.int64), "symbols": self.symbols}
        for depth, level in enumerate(self.levels):
            for name in ("contexts", "sizes", "tokens", "counts", "discount"):
                arrays[f"{depth}.{name}"] = getattr(level, name)
        return arrays

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> "KneserNey":
        """The inverse of `arrays`; raises ValueError where they do not belong together."""
        try:
            vocab, order = (int(value) for value in arrays["shape"])
            symbols = np.asarray(arrays["symbols"])
            levels: list[Level] = []
            for depth in range(order):
                names = ("contexts", "sizes", "tokens", "counts", "discount")
                parts = [np.asarray(arrays[f"{depth}.{name}"]) for name in names]
                levels.append(Level(len(symbols), len(levels[-1].contexts) if levels else 1, *parts))
        except KeyError as error:
            raise ValueError(f"this n-gram model is damaged: {error.args[0]!r} is missing") from None
        for depth, level in enumerate(levels):
            _check(level, depth)
        if not 0 < len(symbols) <= vocab or symbols.max() >= vocab or not levels:
            raise ValueError("this n-gram model is damaged: its symbols do not fit its vocabulary")
        return KneserNey(vocab, order, symbols, tuple(levels))


def _trie(stream: Ints, order: int, width: int) -> tuple[list[Ints], Ints, list[Ints]]:
    """The contexts of every level, the deepest context of positions K .. N - 1, and per level d that of position d."""
    contexts, number = [np.zeros(1, np.int64)], np.zeros(len(stream), np.int64)
    openings = [number[:1].copy()]
    for depth in range(1, order):
        key = number[1:] * width + stream[: max(len(stream) - depth, 0)]
        bound = len(contexts[-1]) * width
        if bound <= 4 * len(stream) + 2**20:
            present = np.zeros(bound, bool)
            present[key] = True
            unique, number = np.flatnonzero(present), (np.cumsum(present) - 1)[key]
        else:
            unique, number = np.unique(key, return_inverse=True)
        contexts.append(unique)
        openings.append(number[:1].copy())
    return contexts, number, openings


def _count(
    stream: Ints, contexts: list[Ints], deepest: Ints, openings: list[Ints], width: int, discounts: np.ndarray | None
) -> tuple[Level, ...]:
    """All levels: occurrences at the deepest, and below it one for each different token that stood before."""
    levels: list[Level] = []
    key = deepest * width + stream[len(contexts) - 1 :]
    for depth in reversed(range(len(contexts))):
        bound = len(contexts[depth]) * width
        if bound <= 4 * len(stream) + 2**20:
            every = np.bincount(key, minlength=bound)
            key = np.flatnonzero(every)
            counts = every[key]
        else:
            key, counts = np.unique(key, return_counts=True)
        context, token = np.divmod(key, width)
        discount = _discount(counts) if discounts is None else np.asarray(discounts[depth], np.float64)
        sizes = np.bincount(context, minlength=len(contexts[depth]))
        parents = len(contexts[depth - 1]) if depth else 1
        levels.append(Level(width, parents, *map(_narrow, (contexts[depth], sizes, token, counts)), discount=discount))
        if depth:
            key = contexts[depth][context] // width * width + token
            # The occurrence that opens the text has nothing before it; that nothing is one more different neighbour.
            opening = openings[depth - 1] * width + stream[depth - 1 : depth]
            key = np.concatenate([key, opening])
    return tuple(reversed(levels))


def _discount(counts: Ints) -> NDArray[np.float64]:
    """Chen and Goodman's D1, D2, D3+ from the counts of counts, with a fixed fallback where these are too few."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[:6].astype(np.float64)
    if not n[1:5].all():
        return np.array(_FALLBACK)
    y = n[1] / (n[1] + 2 * n[2])
    discount = np.array([0, *(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))])
    in_range = (discount[1:] > 0).all() and (discount[1:] < (1, 2, 3)).all()
    return discount if in_range else np.array(_FALLBACK)


def _check(level: Level, depth: int) -> None:
    entries = len(level.tokens)
    whole = (
        len(level.contexts) == len(level.sizes)
        and len(level.counts) == entries == int(level.sizes.sum(dtype=np.int64))
        and level.discount.shape == (4,)
        and (entries == 0 or int(level.tokens.max()) < level.width)
        and (len(level.contexts) == 0 or int(level.contexts.max()) < level.parents * level.width)
        and (depth > 0 or len(level.contexts) == 1)
    )
    if not whole:
        raise ValueError(f"this n-gram model is damaged: the arrays of level {depth} do not belong together")


def _search(ascending: np.ndarray, wanted: Ints) -> Ints:
    """Where each wanted value stands in an ascending array, NONE where it does not."""
    if len(ascending) == 0:
        return np.full(len(wanted), NONE, np.int64)
    at = np.minimum(np.searchsorted(ascending, wanted.astype(ascending.dtype)), len(ascending) - 1)
    return np.where(ascending[at] == wanted, at, NONE)


def _narrow(values: np.ndarray) -> np.ndarray:
    """The same non-negative integers in the smallest unsigned type."""
    return values.astype(np.min_scalar_type(int(values.max()) if len(values) else 0))
