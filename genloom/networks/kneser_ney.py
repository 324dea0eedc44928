"""An interpolated, modified Kneser-Ney n-gram model over integer tokens, in numpy.

The formula, for a context c of d tokens (Kneser and Ney 1995; Chen and Goodman 1999, equations 26 and 27):

    p_d(w | c) = max(a(c, w) - D_d(a), 0) / T(c) + M(c) / T(c) * p_{d-1}(w | c without its oldest token)

a(c, w) counts occurrences at the deepest level, and at every other level the different tokens seen before (c, w); T(c)
sums a over w; M(c) sums the discounts taken from c; below level 0 is the uniform distribution over the vocabulary.
An unseen context backs off to the next shorter one.

Shapes: N tokens of a stream, B rows, K = order - 1 context tokens, S different tokens seen in training, V vocabulary.
The levels form a trie: a context of d tokens is (id of the context of its d - 1 newest tokens, its oldest token), so
there is no hashing and no collision, and any order and vocabulary fit in 64 bits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike, NDArray

from genloom.errors import GenloomError

MISSING = -1
"""In a context: an unknown token (before the start of a text)."""

_TABLE_ENTRIES = 2**22  # up to this size, a lookup table is faster than a binary search and takes at most 32 MB
_CHUNK_ROWS = 2**18
_DEFAULT_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)  # for texts too small to estimate discounts

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """The contexts of one length, and the tokens that followed each of them."""

    num_tokens: int  # S
    num_parents: int  # contexts one level down
    contexts: np.ndarray  # C, ascending: parent * S + oldest token
    sizes: np.ndarray  # C: number of different tokens that followed
    tokens: np.ndarray  # E: these tokens, context by context, ascending within each
    counts: np.ndarray  # E: a(c, w) >= 1
    discount: np.ndarray  # 4: the discounts of counts 0, 1, 2, 3 and more

    @cached_property
    def entry_starts(self) -> Ints:
        """C + 1: the first entry of each context."""
        return np.concatenate([[0], np.cumsum(self.sizes, dtype=np.int64)])

    def expand_contexts(self) -> Ints:
        """Return the context of each entry, E."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def keys(self) -> Ints:
        """E, ascending: context * S + token."""
        return self.expand_contexts() * self.num_tokens + self.tokens

    def discount_counts(self, entry: Ints | slice = slice(None)) -> NDArray[np.float64]:
        """Return a - D of some entries."""
        counts = self.counts[entry]
        return counts - self.discount[np.minimum(counts, 3)]

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """C + 1: T(c); the last entry is for context MISSING, which backs off completely."""
        return np.append(np.bincount(self.expand_contexts(), self.counts, len(self.sizes)), 1.0)

    @cached_property
    def discount_mass(self) -> NDArray[np.float64]:
        """C + 1: M(c), what the discounts take from each context, in counts."""
        discounts_E = self.discount[np.minimum(self.counts, 3)]
        return np.append(np.bincount(self.expand_contexts(), discounts_E, len(self.sizes)), 1.0)

    @cached_property
    def table(self) -> np.ndarray | None:
        """Context id by key, or None if there are too many keys; the last entry is for an unknown key."""
        if self.num_parents * self.num_tokens > _TABLE_ENTRIES:
            return None
        table = np.full(self.num_parents * self.num_tokens + 1, MISSING, np.int32)
        table[self.contexts] = np.arange(len(self.contexts))
        return table

    @cached_property
    def dense_counts(self) -> dict[np.dtype, np.ndarray]:
        """C + 1, S: discounted counts by dtype, filled on first use; empty if there are too many."""
        return {}

    def find(self, parent: Ints, oldest_token: Ints) -> Ints:
        """Return context ids, MISSING for unseen contexts."""
        key = np.where(
            (parent != MISSING) & (oldest_token != MISSING), parent * self.num_tokens + oldest_token, MISSING
        )
        return _search_sorted(self.contexts, key) if self.table is None else self.table[key].astype(np.int64)

    def count(self, context: Ints, token: Ints) -> Ints:
        """Return a(c, w), 0 if unseen."""
        entry = _search_sorted(
            self.keys, np.where((context != MISSING) & (token != MISSING), context * self.num_tokens + token, MISSING)
        )
        is_seen = entry != MISSING
        counts = np.zeros(len(entry), np.int64)
        counts[is_seen] = self.counts[entry[is_seen]]
        return counts

    def add_scaled_counts(self, rows_BS: np.ndarray, context_B: Ints, scale_B: np.ndarray) -> None:
        """Add scale * (a - D) of every token that followed the context."""
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
    """A fitted model. `seen_tokens` are the S tokens of the training text, ascending; all others are equally likely."""

    vocab: int
    order: int
    seen_tokens: np.ndarray
    levels: tuple[Level, ...]  # by context length: 0 .. order - 1

    @staticmethod
    def fit(ids: np.ndarray, vocab: int, order: int, discounts: np.ndarray | None = None) -> "KneserNey":
        """Count a stream of N token ids; `discounts` (order, 4) replaces the estimated ones.

        Raise GenloomError for an empty stream, an id outside the vocabulary, or an order outside 1..8.
        """
        ids = np.asarray(ids).reshape(-1)
        if not 1 <= order <= 8:
            raise GenloomError("networks.ngram_order", order=order)
        if len(ids) == 0:
            raise GenloomError("networks.ngram_empty_text")
        if ids.min() < 0 or ids.max() >= vocab:
            raise GenloomError(
                "networks.ngram_token_range", minimum=int(ids.min()), maximum=int(ids.max()), vocab_size=vocab
            )
        is_seen = np.bincount(ids, minlength=vocab) > 0
        seen_tokens = np.flatnonzero(is_seen)
        stream = (np.cumsum(is_seen) - 1)[ids]
        contexts, deepest_contexts, first_contexts = _build_trie(stream, order, len(seen_tokens))
        levels = _build_levels(stream, contexts, deepest_contexts, first_contexts, len(seen_tokens), discounts)
        return KneserNey(vocab, order, _to_smallest_dtype(seen_tokens), levels)

    def __deepcopy__(self, memo: dict) -> "KneserNey":
        return self  # copies of a network share it, because it is frozen and large

    @cached_property
    def token_index(self) -> Ints:
        """V + 1: the index of a token in `seen_tokens`, or MISSING; the last entry is for MISSING itself."""
        token_index = np.full(self.vocab + 1, MISSING, np.int64)
        token_index[self.seen_tokens] = np.arange(len(self.seen_tokens))
        return token_index

    def gather_contexts(self, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return the contexts [..., K] of positions in a stream, oldest token first, MISSING before its start."""
        offsets = np.asarray(positions)[..., None] + np.arange(1 - self.order, 0)
        return np.where(offsets >= 0, np.asarray(ids)[np.maximum(offsets, 0)].astype(np.int64), MISSING)

    def log_prob(self, ids: np.ndarray) -> NDArray[np.float64]:
        """Return the log-probability of each token of a stream, N, in nats, given up to K tokens before it."""
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

    def predict_probs(self, contexts: np.ndarray, is_log: bool = False, dtype: DTypeLike = np.float64) -> np.ndarray:
        """Return next-token probabilities [..., V] (or their natural logs) after contexts [..., K], oldest token first.

        Contexts may have MISSING on the left, where the tokens are unknown.
        """
        batch_shape, contexts_by_level = self._flatten_and_find(contexts)
        return self._expand_to_vocab(contexts_by_level, is_log, dtype).reshape(*batch_shape, self.vocab)

    def predict_with_features(
        self, contexts: np.ndarray, dtype: DTypeLike = np.float32
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the logs of `predict_probs` [..., V], and features of the counts behind them, [..., 2K].

        For each context length, shortest first: log(1 + T(c)) / 5, 0 for an unseen context, and the share M(c) / T(c)
        that backs off to shorter ones, 1 for an unseen context.
        """
        batch_shape, contexts_by_level = self._flatten_and_find(contexts)
        log_p_BV = self._expand_to_vocab(contexts_by_level, True, dtype)
        features_B2K = np.empty((len(contexts_by_level[0]), 2 * (self.order - 1)), dtype)
        for depth, (level, context_B) in enumerate(zip(self.levels[1:], contexts_by_level[1:], strict=True)):
            total_B = level.totals[context_B]
            features_B2K[:, 2 * depth] = np.log1p(total_B * (context_B != MISSING)) / 5
            features_B2K[:, 2 * depth + 1] = level.discount_mass[context_B] / total_B
        return log_p_BV.reshape(*batch_shape, self.vocab), features_B2K.reshape(*batch_shape, features_B2K.shape[1])

    def _expand_to_vocab(self, contexts_by_level: list[Ints], is_log: bool, dtype: DTypeLike) -> np.ndarray:
        """Return probabilities B V, or their logs, after contexts given by their ids at every level."""
        num_rows = len(contexts_by_level[0])
        rows_BS = np.zeros((num_rows, len(self.seen_tokens)), dtype)
        uniform_B = self._accumulate_levels(rows_BS, contexts_by_level) / self.vocab
        rows_BS += uniform_B[:, None].astype(dtype)
        if is_log:
            np.log(rows_BS, out=rows_BS)
            np.log(uniform_B, out=uniform_B)
        if len(self.seen_tokens) == self.vocab:
            return rows_BS
        full_BV = np.empty((num_rows, self.vocab), dtype)
        full_BV[:] = uniform_B[:, None]
        full_BV[:, self.seen_tokens] = rows_BS
        return full_BV

    def _flatten_and_find(self, contexts: np.ndarray) -> tuple[tuple[int, ...], list[Ints]]:
        """Return the batch shape of contexts [..., K], and their context ids by level."""
        batch_shape = np.shape(contexts)[:-1]
        return batch_shape, self._find_contexts(np.asarray(contexts).reshape(math.prod(batch_shape), self.order - 1))

    def _find_contexts(self, contexts_BK: np.ndarray) -> list[Ints]:
        """Return context ids B by level."""
        tokens_BK = self.token_index[contexts_BK]
        contexts_by_level = [np.zeros(len(contexts_BK), np.int64)]
        for depth in range(1, self.order):
            contexts_by_level.append(self.levels[depth].find(contexts_by_level[-1], tokens_BK[:, -depth]))
        return contexts_by_level

    def _accumulate_levels(self, rows_BS: np.ndarray, contexts_by_level: list[Ints]) -> NDArray[np.float64]:
        """Add the discounted probabilities of all levels; return the probability left for the uniform distribution."""
        remaining_B = np.ones(len(rows_BS))
        for level, context_B in zip(reversed(self.levels), reversed(contexts_by_level), strict=True):
            total_B = level.totals[context_B]
            has_counts_B = total_B > 0
            scale_B = np.divide(remaining_B, total_B, out=np.zeros_like(remaining_B), where=has_counts_B)
            level.add_scaled_counts(rows_BS, context_B, scale_B)
            remaining_B = np.where(has_counts_B, scale_B * level.discount_mass[context_B], remaining_B)
        return remaining_B

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the model as arrays of the smallest dtypes, for safetensors."""
        arrays = {"shape": np.array([self.vocab, self.order], np.int64), "symbols": self.seen_tokens}
        for depth, level in enumerate(self.levels):
            for name in ("contexts", "sizes", "tokens", "counts", "discount"):
                arrays[f"{depth}.{name}"] = getattr(level, name)
        return arrays

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> "KneserNey":
        """Build the model from `to_arrays`; GenloomError if the arrays are inconsistent."""
        try:
            vocab, order = (int(value) for value in arrays["shape"])
            seen_tokens = np.asarray(arrays["symbols"])
            levels: list[Level] = []
            for depth in range(order):
                names = ("contexts", "sizes", "tokens", "counts", "discount")
                parts = [np.asarray(arrays[f"{depth}.{name}"]) for name in names]
                levels.append(Level(len(seen_tokens), len(levels[-1].contexts) if levels else 1, *parts))
        except KeyError as error:
            raise GenloomError("networks.ngram_damaged", reason=f"{error.args[0]!r} is missing") from None
        for depth, level in enumerate(levels):
            _check_level(level, depth)
        if not 0 < len(seen_tokens) <= vocab or seen_tokens.max() >= vocab or not levels:
            raise GenloomError("networks.ngram_damaged", reason="its tokens do not fit its vocabulary")
        return KneserNey(vocab, order, seen_tokens, tuple(levels))


def _build_trie(stream: Ints, order: int, num_tokens: int) -> tuple[list[Ints], Ints, list[Ints]]:
    """Return all levels' contexts, the deepest contexts of positions K .. N - 1, and each level d's of position d."""
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
    """Return all levels: occurrences at the deepest, and at the others one count per different preceding token."""
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
            # The start of the text counts as one more different preceding token.
            first_entry = first_contexts[depth - 1] * num_tokens + stream[depth - 1 : depth]
            key = np.concatenate([key, first_entry])
    return tuple(reversed(levels))


def _estimate_discounts(counts: Ints) -> NDArray[np.float64]:
    """Return Chen and Goodman's D1, D2, D3+ from the counts of counts, or the defaults if these are too few."""
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
        raise GenloomError("networks.ngram_damaged", reason=f"the arrays of level {depth} are inconsistent")


def _search_sorted(ascending: np.ndarray, values: Ints) -> Ints:
    """Return the index of each value in an ascending array, MISSING if it is absent."""
    if len(ascending) == 0:
        return np.full(len(values), MISSING, np.int64)
    index = np.minimum(np.searchsorted(ascending, values.astype(ascending.dtype)), len(ascending) - 1)
    return np.where(ascending[index] == values, index, MISSING)


def _to_smallest_dtype(values: np.ndarray) -> np.ndarray:
    """Return the same non-negative integers in the smallest unsigned dtype."""
    return values.astype(np.min_scalar_type(int(values.max()) if len(values) else 0))
