"""The longest span of each output that occurs verbatim in the training text, and where it occurs.

The outputs are indexed and the training documents are streamed, so memory depends on the outputs alone. A span of L
characters contains the k-grams at its first s = L - k + 1 positions, so to find a span longer than the longest so far,
it is enough to look up every s-th k-gram of a document. Hits are extended with prefix hashes (Karp and Rabin 1987), and
the longest is compared character by character.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from genloom.trust.text_chunks import CodePoints, TextChunk, iter_text_chunks, to_code_points
from genloom.types import Item

_BASE = 0x9E3779B97F4A7C15
_SAMPLE_BASE = np.uint32(0x9E3779B1)
_TABLE_BITS = 20
_SIEVE_BITS = 16
_MAX_SAMPLE_CHARS = 64  # longer samples would not filter out more

Hashes = NDArray[np.uint64]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class CopiedSpan:
    """A span shared by an output and a training document; lengths and positions in characters."""

    length: int
    text: str = ""
    start: int = 0  # in the output
    source: str = ""
    licence: str = "unknown"
    offset: int = 0  # in the document


@dataclass(frozen=True)
class OverlapBaseline:
    """Longest spans that held-out passages, which cannot have been copied, share with the training text by chance."""

    count: int  # passages
    median: float  # of the longest shared span, in characters
    percentile_95: float
    maximum: int


@dataclass(frozen=True)
class CopyReport:
    """The longest copied span of each output, and the baseline of held-out text of the same lengths."""

    spans: list[CopiedSpan]
    baseline: OverlapBaseline | None  # None without held-out text


def find_longest_copies(outputs: Sequence[str], documents: Iterable[Item]) -> list[CopiedSpan]:
    """Find the longest span of each output in any document; of equally long spans, the first in the stream.

    The result is exact and takes one pass over the documents. An output that shares no character gets a span of
    length 0.
    """
    targets = [_Target(text, 1 << index % 8) for index, text in enumerate(outputs)]
    overlap = max((len(text) for text in outputs), default=0)
    for chunk in iter_text_chunks(documents, overlap):
        for group in _group_targets(targets):
            _search_chunk(chunk, group)
    return [target.best_span for target in targets]


def measure_copied_spans(
    outputs: Sequence[str], documents: Iterable[Item], held_out: Iterable[Item], num_passages: int = 20, seed: int = 0
) -> CopyReport:
    """Find the longest copies of outputs and, for a baseline, of held-out passages of their lengths, in one pass."""
    lengths = [len(text) for text in outputs if text] or [1]
    sampled_texts = sample_passages(held_out, [lengths[i % len(lengths)] for i in range(num_passages)], seed)
    spans = find_longest_copies([*outputs, *sampled_texts], documents)
    shared_lengths = [span.length for span in spans[len(outputs) :]]
    baseline = None
    if shared_lengths:
        median, percentile_95 = np.quantile(shared_lengths, [0.5, 0.95])
        baseline = OverlapBaseline(len(shared_lengths), float(median), float(percentile_95), max(shared_lengths))
    return CopyReport(spans[: len(outputs)], baseline)


def sample_passages(documents: Iterable[Item], lengths: Sequence[int], seed: int = 0) -> list[str]:
    """Sample a passage of each length, uniformly over all positions; fewer if the text is too short.

    It takes one pass and holds one document at a time (weighted reservoir sampling: Efraimidis and Spirakis 2006, with
    keys u^(1/w) in logarithmic form).
    """
    rng = np.random.default_rng(seed)
    best_keys = np.full(len(lengths), np.inf)
    passages: dict[int, str] = {}
    for item in documents:
        num_starts = len(item.value) - np.asarray(lengths, np.int64) + 1
        keys = np.where(num_starts > 0, rng.exponential(size=len(lengths)) / np.maximum(num_starts, 1), np.inf)
        starts = (rng.random(len(lengths)) * np.maximum(num_starts, 1)).astype(np.int64)
        for i in np.flatnonzero(keys < best_keys).tolist():
            passages[i] = item.value[starts[i] : starts[i] + lengths[i]]
        best_keys = np.minimum(best_keys, keys)
    return [passages[i] for i in sorted(passages)]


class _Target:
    """An output, its longest span so far, and the hashes of its substrings."""

    def __init__(self, text: str, bit: int) -> None:
        self.text, self.bit, self.best_span = text, bit, CopiedSpan(0)
        self.characters = to_code_points(text)
        self.prefix_hashes = _compute_prefix_hashes(self.characters)
        self.hash_tables: dict[int, tuple[Hashes, NDArray[np.bool_]]] = {}

    def contains_hashes(self, hashes: Hashes, length: int) -> NDArray[np.bool_]:
        """Whether each hash is that of a substring of this length."""
        if length not in self.hash_tables:
            starts = np.arange(len(self.text) - length + 1)
            known_hashes = np.unique(_hash_spans(self.prefix_hashes, starts, length))
            sieve = np.zeros(2**_SIEVE_BITS, bool)
            sieve[known_hashes >> np.uint64(64 - _SIEVE_BITS)] = True
            self.hash_tables[length] = known_hashes, sieve
        known_hashes, sieve = self.hash_tables[length]
        is_hit = sieve[hashes >> np.uint64(64 - _SIEVE_BITS)]
        candidates = hashes[is_hit]
        is_hit[is_hit] = (
            known_hashes[np.minimum(np.searchsorted(known_hashes, candidates), len(known_hashes) - 1)] == candidates
        )
        return is_hit


def _group_targets(targets: Sequence[_Target]) -> list[list[_Target]]:
    """Group the outputs that could have a longer span, by the approximate length to beat."""
    groups: dict[int, list[_Target]] = {}
    for target in targets:
        if target.best_span.length < len(target.text):
            groups.setdefault(min(target.best_span.length + 1, _MAX_SAMPLE_CHARS).bit_length(), []).append(target)
    return list(groups.values())


def _search_chunk(chunk: TextChunk, group: Sequence[_Target]) -> None:
    """Search a chunk of training text for longer spans of these outputs."""
    min_new_length = min(min(target.best_span.length + 1 for target in group), _MAX_SAMPLE_CHARS)
    width = -(-3 * min_new_length // 4)
    stride = min_new_length - width + 1
    table = np.zeros(2**_TABLE_BITS, np.uint8)
    for target in group:
        table[_hash_samples(target.characters, width, 1)] |= np.uint8(target.bit)
    target_bits = table[_hash_samples(chunk.code_points, width, stride)]
    sampled = np.flatnonzero(target_bits)
    if not len(sampled):
        return
    prefix_hashes = _compute_prefix_hashes(chunk.code_points)
    for target in group:
        hits = sampled[(target_bits[sampled] & np.uint8(target.bit)) != 0]
        if len(hits):
            starts = (hits[:, None] * stride - np.arange(stride)[::-1]).ravel()
            _extend_matches(chunk, prefix_hashes, target, starts[starts >= 0])


def _extend_matches(chunk: TextChunk, prefix_hashes: Hashes, target: _Target, starts: Positions) -> None:
    """Find the longest span that begins at one of these positions of the chunk; keep it if it is the longest so far."""

    def filter_by_hash(starts: Positions, length: int) -> Positions:
        starts = starts[starts <= len(chunk.code_points) - length]
        return starts[target.contains_hashes(_hash_spans(prefix_hashes, starts, length), length)]

    def filter_by_text(starts: Positions, length: int) -> Positions:
        texts = [chunk.get_text(start, start + length) for start in starts.tolist()]
        return starts[np.array([text is not None and text in target.text for text in texts], bool)]

    for filter_starts in (filter_by_hash, filter_by_text):  # by text only after a hash collision
        length, position = _find_longest(filter_starts, starts, target.best_span.length, len(target.text))
        if length <= target.best_span.length:
            return
        text = chunk.get_text(position, position + length)
        if text is not None and text in target.text:
            item, offset = chunk.locate(position)
            target.best_span = CopiedSpan(length, text, target.text.index(text), item.source, item.licence, offset)
            return


def _find_longest(
    filter_starts: Callable[[Positions, int], Positions], starts: Positions, min_length: int, max_length: int
) -> tuple[int, int]:
    """Return the longest length above `min_length` that the filter accepts at any position, and the first of these.

    The filter must accept every shorter length at an accepted position.
    """
    starts, length, upper, step = starts, min_length, max_length + 1, 1
    while upper - length > 1:
        trial_length = min(length + step, (length + upper) // 2)
        remaining = filter_starts(starts, trial_length)
        if len(remaining):
            starts, length, step = remaining, trial_length, step * 2
        else:
            upper = trial_length
            if length == min_length:
                break
    return length, int(starts[0]) if len(starts) else 0


def _hash_samples(text: CodePoints, width: int, stride: int) -> NDArray[np.uint32]:
    """Return the table slots of the substrings of `width` characters at every `stride`-th position."""
    count = max(len(text) - width, -1) // stride + 1
    hashes = np.zeros(count, np.uint32)
    if count:
        for i in range(width):
            hashes *= _SAMPLE_BASE
            hashes += text[i : i + (count - 1) * stride + 1 : stride]
    hashes ^= hashes >> np.uint32(15)
    hashes *= np.uint32(0x2C1B3C6D)
    return hashes >> np.uint32(32 - _TABLE_BITS)


def _compute_prefix_hashes(text: CodePoints) -> Hashes:
    """Return the sum of characters times powers of the base for every prefix of the text, modulo 2^64."""
    sums = np.zeros(len(text) + 1, np.uint64)
    np.cumsum(text * _compute_powers(_BASE, len(text).bit_length())[: len(text)], out=sums[1:])
    return sums


def _hash_spans(prefix_hashes: Hashes, starts: Positions, length: int) -> Hashes:
    """Return the hashes of the substrings of this length, which are independent of position and text."""
    shift = _compute_powers(pow(_BASE, -1, 2**64), len(prefix_hashes).bit_length())
    return (prefix_hashes[starts + length] - prefix_hashes[starts]) * shift[starts]


@lru_cache(maxsize=32)
def _compute_powers(base: int, bits: int) -> Hashes:
    powers = np.full(2**bits, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)
