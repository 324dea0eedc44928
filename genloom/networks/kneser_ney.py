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

MISSING = -1
"""In a context: nothing is known to stand here (before the start of a text)."""

_TABLE_ENTRIES = 2**22  # a direct table up to this size is faster to read than a binary search, and costs at most 32 MB
_CHUNK_ROWS = 2**18
_DEFAULT_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)  # where the text is too small to estimate discounts

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """The contexts of one length, and what followed each of them."""

    num_tokens: int  # S
    num_parents: int  # contexts one level down
    contexts: np.ndarray  # C, ascending: parent * S + oldest token
    sizes: np.ndarray  # C: how many different tokens followed
    tokens: np.ndarray  # E: these tokens, context after context, ascending within one
    counts: np.ndarray  # E: a(c, w) >= 1
    discount: np.ndarray  # 4: taken from a count of 0, 1, 2, 3 and more

    @cached_property
    def entry_starts(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.sizes, dtype=np.int64)])

    def expand_contexts(self) -> Ints:
        """E: the context of each entry."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def keys(self) -> Ints:
        """E, ascending: context * S + token."""
        return self.expand_contexts() * self.num_tokens + self.tokens

    def discount_counts(self, entry: Ints | slice = slice(None)) -> NDArray[np.float64]:
        """a - D of some entries."""
        counts = self.counts[entry]
        return counts - self.discount[np.minimum(counts, 3)]

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """C + 1: T(c); the last entry answers for context NONE, which passes everything on."""
        return np.append(np.bincount(self.expand_contexts(), self.counts, len(self.sizes)), 1.0)

    @cached_property
    def discount_mass(self) -> NDArray[np.float64]:
        """C + 1: what the discounts take from each context, in counts."""
        discounts_E = self.discount[np.minimum(self.counts, 3)]
        return np.append(np.bincount(self.expand_contexts(), discounts_E, len(self.sizes)), 1.0)

    @cached_property
    def table(self) -> np.ndarray | None:
        """Context number by key, where the keys are few enough to list; the last entry answers for an unknown key."""
        if self.num_parents * self.num_tokens > _TABLE_ENTRIES:
            return None
        table = np.full(self.num_parents * self.num_tokens + 1, MISSING, np.int32)
        table[self.contexts] = np.arange(len(self.contexts))
        return table

    @cached_property
    def dense_counts(self) -> dict[np.dtype, np.ndarray]:
        """C + 1, S: discounted counts by dtype, filled on first use; empty where they would be too many."""
        return {}

    def find(self, parent: Ints, oldest_token: Ints) -> Ints:
        """Context numbers, NONE where the context was never seen."""
        key = np.where(
            (parent != MISSING) & (oldest_token != MISSING), parent * self.num_tokens + oldest_token, MISSING
        )
        return _search_sorted(self.contexts, key) if self.table is None else self.table[key].astype(np.int64)

    def count(self, context: Ints, token: Ints) -> Ints:
        """a(c, w), 0 where it was never seen."""
        entry = _search_sorted(
            self.keys, np.where((context != MISSING) & (token != MISSING), context * self.num_tokens + token, MISSING)
        )
        is_seen = entry != MISSING
        counts = np.zeros(len(entry), np.int64)
        counts[is_seen] = self.counts[entry[is_seen]]
        return counts

    def add_scaled_counts(self, rows_BS: np.ndarray, context_B: Ints, scale_B: np.ndarray) -> None:
        """Adds scale * (a - D) of every token that followed the context."""
        dtype = rows_BS.dtype
        if dtype not in self.dense_counts and len(self.contexts) * self.num_tokens <= _TABLE_ENTRIES:
            flat_counts = np.zeros((len(self.contexts) + 1) * self.num_tokens, dtype)
            flat_counts[self.keys] = self.discount_counts()
            self.dense_counts[dtype] = flat_counts.reshape(-1, self.num_tokens)
        if dtype in self.dense_counts:
            scaled_BS = self.dense_counts[dtype][context_B]
            scaled_BS *= scale_B[:, None].astype(dtype)
            rows_BS += scaled_BS
            return
        row = np.flatnonzero(context_B != MISSING)
        size = self.sizes[context_B[row]].astype(np.int64)
        entry = np.arange(size.sum()) + np.repeat(self.entry_starts[context_B[row]] - np.cumsum(size) + size, size)
        row = np.repeat(row, size)
        rows_BS[row, self.tokens[entry]] += (self.discount_counts(entry) * scale_B[row]).astype(dtype)


@dataclass(frozen=True)
class KneserNey:
    """A fitted model. `symbols` are the S tokens seen in training, ascending; all others share what is left evenly."""

    vocab: int
    order: int
    seen_tokens: np.ndarray
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
        is_seen = np.bincount(ids, minlength=vocab) > 0
        seen_tokens = np.flatnonzero(is_seen)
        stream = (np.cumsum(is_seen) - 1)[ids]
        contexts, deepest_contexts, first_contexts = _build_trie(stream, order, len(seen_tokens))
        levels = _build_levels(stream, contexts, deepest_contexts, first_contexts, len(seen_tokens), discounts)
        return KneserNey(vocab, order, _to_smallest_dtype(seen_tokens), levels)

    def __deepcopy__(self, memo: dict) -> "KneserNey":
        return self  # frozen, and large: the copies of a network share it

    @cached_property
    def token_index(self) -> Ints:
        """V + 1: the number of a token among `symbols`, or NONE; the last entry answers for NONE itself."""
        token_index = np.full(self.vocab + 1, MISSING, np.int64)
        token_index[self.seen_tokens] = np.arange(len(self.seen_tokens))
        return token_index

    def gather_contexts(self, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """The contexts [..., K] of positions of a stream, oldest token first, NONE before its start."""
        offsets = np.asarray(positions)[..., None] + np.arange(1 - self.order, 0)
        return np.where(offsets >= 0, np.asarray(ids)[np.maximum(offsets, 0)].astype(np.int64), MISSING)

    def gather_row_contexts(self, token_rows: np.ndarray) -> np.ndarray:
        """The contexts [..., L, K] that end with each token of rows [..., L], NONE before the first."""
        padding = [(0, 0)] * (np.ndim(token_rows) - 1) + [(self.order - 1, 0)]
        padded_rows = np.pad(np.asarray(token_rows, np.int64), padding, constant_values=MISSING)
        return np.lib.stride_tricks.sliding_window_view(padded_rows, self.order - 1, axis=-1)[..., 1:, :]

    def log_prob(self, ids: np.ndarray) -> NDArray[np.float64]:
        """Nats, N: log-probability of each token of a stream given the up to K tokens before it."""
        ids = np.asarray(ids).reshape(-1)
        parts = [self._log_prob_chunk(ids, first) for first in range(0, len(ids), _CHUNK_ROWS)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _log_prob_chunk(self, ids: np.ndarray, first: int) -> NDArray[np.float64]:
        positions = np.arange(first, min(first + _CHUNK_ROWS, len(ids)))
        target = self.token_index[ids[positions]]
        probability = np.full(len(positions), 1 / self.vocab)
        for level, context in zip(self.levels, self._find_contexts(self.gather_contexts(ids, positions)), strict=True):
            count = level.count(context, target)
            discounted = count - level.discount[np.minimum(count, 3)]
            mixture = (discounted + level.discount_mass[context] * probability) / level.totals[context]
            probability = np.where(context != MISSING, mixture, probability)
        return np.log(probability)

    def predict_probs(
        self,
        contexts: np.ndarray,
        excluded_tokens: np.ndarray | None = None,
        is_log: bool = False,
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
        batch_shape, contexts_by_level = self._flatten_and_find(contexts)
        excluded = np.full(batch_shape, MISSING) if excluded_tokens is None else np.asarray(excluded_tokens)
        return self._expand_to_vocab(contexts_by_level, self.token_index[excluded.reshape(-1)], is_log, dtype).reshape(
            *batch_shape, self.vocab
        )

    def predict_with_features(
        self, contexts: np.ndarray, dtype: DTypeLike = np.float32
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logs of `distribution` [..., V], and what they rest on, [..., 2K].

        For each length of context, the shortest first: log(1 + T(c)) / 5, 0 where it was never seen, and the share
        held(c) / T(c) that is left to shorter ones, 1 where it was never seen.
        """
        batch_shape, contexts_by_level = self._flatten_and_find(contexts)
        no_exclusion = np.full(len(contexts_by_level[0]), MISSING)
        log_p_BV = self._expand_to_vocab(contexts_by_level, no_exclusion, True, dtype)
        features_B2K = np.empty((len(contexts_by_level[0]), 2 * (self.order - 1)), dtype)
        for depth, (level, context_B) in enumerate(zip(self.levels[1:], contexts_by_level[1:], strict=True)):
            total_B = level.totals[context_B]
            features_B2K[:, 2 * depth] = np.log1p(total_B * (context_B != MISSING)) / 5
            features_B2K[:, 2 * depth + 1] = level.discount_mass[context_B] / total_B
        return log_p_BV.reshape(*batch_shape, self.vocab), features_B2K.reshape(*batch_shape, features_B2K.shape[1])

    def _expand_to_vocab(
        self, contexts_by_level: list[Ints], excluded_B: Ints, is_log: bool, dtype: DTypeLike
    ) -> np.ndarray:
        """Probabilities B V, or their logs, after contexts that were found."""
        rows_BS = np.zeros((len(excluded_B), len(self.seen_tokens)), dtype)
        uniform_B = self._accumulate_levels(rows_BS, contexts_by_level, excluded_B) / self.vocab
        rows_BS += uniform_B[:, None].astype(dtype)
        if is_log:
            np.log(rows_BS, out=rows_BS)
            np.log(uniform_B, out=uniform_B)
        if len(self.seen_tokens) == self.vocab:
            return rows_BS
        full_BV = np.empty((len(excluded_B), self.vocab), dtype)
        full_BV[:] = uniform_B[:, None]
        full_BV[:, self.seen_tokens] = rows_BS
        return full_BV

    def predict_probs_at(
        self,
        ids: np.ndarray,
        positions: np.ndarray,
        is_leave_one_out: bool = True,
        is_log: bool = False,
        dtype: DTypeLike = np.float64,
    ) -> np.ndarray:
        """`distribution` [..., V] at positions [...] of the training stream, by default without what stands there."""
        excluded = np.asarray(ids)[positions] if is_leave_one_out else None
        return self.predict_probs(self.gather_contexts(ids, positions), excluded, is_log, dtype)

    def _flatten_and_find(self, contexts: np.ndarray) -> tuple[tuple[int, ...], list[Ints]]:
        """The shape of the rows of contexts [..., K], and their context numbers by level."""
        batch_shape = np.shape(contexts)[:-1]
        return batch_shape, self._find_contexts(np.asarray(contexts).reshape(math.prod(batch_shape), self.order - 1))

    def _find_contexts(self, contexts_BK: np.ndarray) -> list[Ints]:
        """Context numbers B by level."""
        tokens_BK = self.token_index[contexts_BK]
        contexts_by_level = [np.zeros(len(contexts_BK), np.int64)]
        for depth in range(1, self.order):
            contexts_by_level.append(self.levels[depth].find(contexts_by_level[-1], tokens_BK[:, -depth]))
        return contexts_by_level

    def _accumulate_levels(
        self, rows_BS: np.ndarray, contexts_by_level: list[Ints], excluded_B: Ints
    ) -> NDArray[np.float64]:
        """Adds the discounted shares of all levels; returns the probability left for the uniform distribution."""
        remaining_B = np.ones(len(rows_BS))
        pending = np.flatnonzero(excluded_B != MISSING)
        for level, context_B in zip(reversed(self.levels), reversed(contexts_by_level), strict=True):
            total_B, held_B = level.totals[context_B], level.discount_mass[context_B]
            index, discounted = pending[:0], remaining_B[:0]
            if len(pending):
                count = level.count(context_B[pending], excluded_B[pending])
                is_hit = count > 0
                # What vanishes here is one fewer for the level below; where no such context is known, go on down.
                is_final = np.where(is_hit, count > 1, context_B[pending] != MISSING)
                index, count = pending[is_hit], count[is_hit]
                discount_after, discount_before = (
                    level.discount[np.minimum(count - 1, 3)],
                    level.discount[np.minimum(count, 3)],
                )
                discounted = count - 1 - discount_after
                total_B[index] -= 1
                held_B[index] += discount_after - discount_before
                pending = pending[~is_final]
            is_live_B = total_B > 0
            scale_B = np.divide(remaining_B, total_B, out=np.zeros_like(remaining_B), where=is_live_B)
            old_values = rows_BS[index, excluded_B[index]]
            level.add_scaled_counts(rows_BS, context_B, scale_B)
            # Set, not corrected by a difference, which could round below zero.
            rows_BS[index, excluded_B[index]] = old_values + (scale_B[index] * discounted).astype(rows_BS.dtype)
            remaining_B = np.where(is_live_B, scale_B * held_B, remaining_B)
        return remaining_B

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The model as plain arrays, as small as they go, for safetensors."""
        arrays = {"shape": np.array([self.vocab, self.order], np.int64), "symbols": self.seen_tokens}
        for depth, level in enumerate(self.levels):
            for name in ("contexts", "sizes", "tokens", "counts", "discount"):
                arrays[f"{depth}.{name}"] = getattr(level, name)
        return arrays

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> "KneserNey":
        """The inverse of `arrays`; raises ValueError where they do not belong together."""
        try:
            vocab, order = (int(value) for value in arrays["shape"])
            seen_tokens = np.asarray(arrays["symbols"])
            levels: list[Level] = []
            for depth in range(order):
                names = ("contexts", "sizes", "tokens", "counts", "discount")
                parts = [np.asarray(arrays[f"{depth}.{name}"]) for name in names]
                levels.append(Level(len(seen_tokens), len(levels[-1].contexts) if levels else 1, *parts))
        except KeyError as error:
            raise ValueError(f"this n-gram model is damaged: {error.args[0]!r} is missing") from None
        for depth, level in enumerate(levels):
            _check_level(level, depth)
        if not 0 < len(seen_tokens) <= vocab or seen_tokens.max() >= vocab or not levels:
            raise ValueError("this n-gram model is damaged: its symbols do not fit its vocabulary")
        return KneserNey(vocab, order, seen_tokens, tuple(levels))


def _build_trie(stream: Ints, order: int, num_tokens: int) -> tuple[list[Ints], Ints, list[Ints]]:
    """The contexts of every level, the deepest context of positions K .. N - 1, and per level d that of position d."""
    contexts, context_ids = [np.zeros(1, np.int64)], np.zeros(len(stream), np.int64)
    first_contexts = [context_ids[:1].copy()]
    for depth in range(1, order):
        key = context_ids[1:] * num_tokens + stream[: max(len(stream) - depth, 0)]
        bound = len(contexts[-1]) * num_tokens
        if bound <= 4 * len(stream) + 2**20:
            is_present = np.zeros(bound, bool)
            is_present[key] = True
            unique, context_ids = np.flatnonzero(is_present), (np.cumsum(is_present) - 1)[key]
        else:
            unique, context_ids = np.unique(key, return_inverse=True)
        contexts.append(unique)
        first_contexts.append(context_ids[:1].copy())
    return contexts, context_ids, first_contexts


def _build_levels(
    stream: Ints,
    contexts: list[Ints],
    deepest_contexts: Ints,
    first_contexts: list[Ints],
    num_tokens: int,
    discounts: np.ndarray | None,
) -> tuple[Level, ...]:
    """All levels: occurrences at the deepest, and below it one for each different token that stood before."""
    levels: list[Level] = []
    key = deepest_contexts * num_tokens + stream[len(contexts) - 1 :]
    for depth in reversed(range(len(contexts))):
        bound = len(contexts[depth]) * num_tokens
        if bound <= 4 * len(stream) + 2**20:
            dense_counts = np.bincount(key, minlength=bound)
            key = np.flatnonzero(dense_counts)
            counts = dense_counts[key]
        else:
            key, counts = np.unique(key, return_counts=True)
        context, token = np.divmod(key, num_tokens)
        discount = _estimate_discounts(counts) if discounts is None else np.asarray(discounts[depth], np.float64)
        sizes = np.bincount(context, minlength=len(contexts[depth]))
        num_parents = len(contexts[depth - 1]) if depth else 1
        levels.append(
            Level(
                num_tokens,
                num_parents,
                *map(_to_smallest_dtype, (contexts[depth], sizes, token, counts)),
                discount=discount,
            )
        )
        if depth:
            key = contexts[depth][context] // num_tokens * num_tokens + token
            # The occurrence that opens the text has nothing before it; that nothing is one more different neighbour.
            first_entry = first_contexts[depth - 1] * num_tokens + stream[depth - 1 : depth]
            key = np.concatenate([key, first_entry])
    return tuple(reversed(levels))


def _estimate_discounts(counts: Ints) -> NDArray[np.float64]:
    """Chen and Goodman's D1, D2, D3+ from the counts of counts, with a fixed fallback where these are too few."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[:6].astype(np.float64)
    if not n[1:5].all():
        return np.array(_DEFAULT_DISCOUNTS)
    y = n[1] / (n[1] + 2 * n[2])
    discount = np.array([0, *(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))])
    is_in_range = (discount[1:] > 0).all() and (discount[1:] < (1, 2, 3)).all()
    return discount if is_in_range else np.array(_DEFAULT_DISCOUNTS)


def _check_level(level: Level, depth: int) -> None:
    num_entries = len(level.tokens)
    is_consistent = (
        len(level.contexts) == len(level.sizes)
        and len(level.counts) == num_entries == int(level.sizes.sum(dtype=np.int64))
        and level.discount.shape == (4,)
        and (num_entries == 0 or int(level.tokens.max()) < level.num_tokens)
        and (len(level.contexts) == 0 or int(level.contexts.max()) < level.num_parents * level.num_tokens)
        and (depth > 0 or len(level.contexts) == 1)
    )
    if not is_consistent:
        raise ValueError(f"this n-gram model is damaged: the arrays of level {depth} do not belong together")


def _search_sorted(ascending: np.ndarray, values: Ints) -> Ints:
    """Where each wanted value stands in an ascending array, NONE where it does not."""
    if len(ascending) == 0:
        return np.full(len(values), MISSING, np.int64)
    index = np.minimum(np.searchsorted(ascending, values.astype(ascending.dtype)), len(ascending) - 1)
    return np.where(ascending[index] == values, index, MISSING)


def _to_smallest_dtype(values: np.ndarray) -> np.ndarray:
    """The same non-negative integers in the smallest unsigned type."""
    return values.astype(np.min_scalar_type(int(values.max()) if len(values) else 0))
