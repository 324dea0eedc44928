"""The longest span of each output that stands word for word in the training text, and where it stands.

The outputs are indexed and the training documents stream past them, so memory depends on the outputs alone. A span of
L characters holds every stretch of k characters that begins at one of its first s = L - k + 1 places; so to find a span
longer than the longest so far, only every s-th stretch of a document is looked up in the outputs. What comes through is
measured with prefix hashes (Karp and Rabin 1987), and the winner is compared character by character.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from genloom.trust.pieces import Characters, Piece, characters, pieces
from genloom.types import Item

_BASE = 0x9E3779B97F4A7C15
_SHORT_BASE = np.uint32(0x9E3779B1)
_TABLE_BITS = 20
_SIEVE_BITS = 16
_LONGEST_SAMPLE = 64  # longer samples would not let fewer by

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Copy:
    """A span shared by an output and a training document; lengths and places in characters."""

    length: int
    text: str = ""
    start: int = 0  # in the output
    source: str = ""
    licence: str = "unknown"
    offset: int = 0  # in the document


@dataclass(frozen=True)
class Baseline:
    """What passages of the held-out text, which cannot have been copied, share with the training text by chance."""

    count: int  # passages
    median: float  # characters of the longest shared span
    high: float  # its 95th percentile
    longest: int


@dataclass(frozen=True)
class Copied:
    """The longest copied span of each output, beside what held-out text of the same lengths shares."""

    copies: list[Copy]
    baseline: Baseline | None  # None where there is no held-out text

    def stands_out(self, copy: Copy) -> bool:
        """Whether a span is longer than any that held-out text shares; False where nothing is held out."""
        return self.baseline is not None and copy.length > self.baseline.longest


def longest_copied(outputs: Sequence[str], documents: Iterable[Item]) -> list[Copy]:
    """The longest span of each output found in any document; of spans of one length, the first in the stream.

    Exact, in one pass over the documents. An output that shares not one character has a Copy of length 0.
    """
    targets = [_Target(text, 1 << number % 8) for number, text in enumerate(outputs)]
    overlap = max((len(text) for text in outputs), default=0)
    for piece in pieces(documents, overlap):
        for group in _groups(targets):
            _search(piece, group)
    return [target.best for target in targets]


def copied(
    outputs: Sequence[str], documents: Iterable[Item], held: Iterable[Item], passages: int = 20, seed: int = 0
) -> Copied:
    """`longest_copied` beside a baseline: as many held-out passages, of the outputs' lengths, in the same pass."""
    lengths = [len(text) for text in outputs if text] or [1]
    drawn = draw_passages(held, [lengths[i % len(lengths)] for i in range(passages)], seed)
    copies = longest_copied([*outputs, *drawn], documents)
    shared = [copy.length for copy in copies[len(outputs) :]]
    baseline = None
    if shared:
        median, high = np.quantile(shared, [0.5, 0.95])
        baseline = Baseline(len(shared), float(median), float(high), max(shared))
    return Copied(copies[: len(outputs)], baseline)


def draw_passages(documents: Iterable[Item], lengths: Sequence[int], seed: int = 0) -> list[str]:
    """A passage of each length from a place drawn at random, every place as likely; fewer where the text is too short.

    One pass, holding one document at a time (weighted reservoir sampling: Efraimidis and Spirakis 2006, with keys
    u^(1/w) in their logarithmic form).
    """
    rng = np.random.default_rng(seed)
    best = np.full(len(lengths), np.inf)
    drawn: dict[int, str] = {}
    for item in documents:
        room = len(item.value) - np.asarray(lengths, np.int64) + 1
        key = np.where(room > 0, rng.exponential(size=len(lengths)) / np.maximum(room, 1), np.inf)
        starts = (rng.random(len(lengths)) * np.maximum(room, 1)).astype(np.int64)
        for i in np.flatnonzero(key < best).tolist():
            drawn[i] = item.value[starts[i] : starts[i] + lengths[i]]
        best = np.minimum(best, key)
    return [drawn[i] for i in sorted(drawn)]


class _Target:
    """An output, what of it was found so far, and the hashes of its stretches."""

    def __init__(self, text: str, bit: int) -> None:
        self.text, self.bit, self.best = text, bit, Copy(0)
        self.characters = characters(text)
        self.prefix = _prefix(self.characters)
        self.kept: dict[int, tuple[Hashes, NDArray[np.bool_]]] = {}

    def holds(self, hashes: Hashes, length: int) -> NDArray[np.bool_]:
        """Which of these are hashes of one of its stretches of this length."""
        if length not in self.kept:
            starts = np.arange(len(self.text) - length + 1)
            known = np.unique(_stretches(self.prefix, starts, length))
            sieve = np.zeros(2**_SIEVE_BITS, bool)
            sieve[known >> np.uint64(64 - _SIEVE_BITS)] = True
            self.kept[length] = known, sieve
        known, sieve = self.kept[length]
        held = sieve[hashes >> np.uint64(64 - _SIEVE_BITS)]
        left = hashes[held]
        held[held] = known[np.minimum(np.searchsorted(known, left), len(known) - 1)] == left
        return held


def _groups(targets: Sequence[_Target]) -> list[list[_Target]]:
    """The outputs that could still hold a longer copied span, those with like lengths to beat together."""
    groups: dict[int, list[_Target]] = {}
    for target in targets:
        if target.best.length < len(target.text):
            groups.setdefault(min(target.best.length + 1, _LONGEST_SAMPLE).bit_length(), []).append(target)
    return list(groups.values())


def _search(piece: Piece, group: Sequence[_Target]) -> None:
    """Looks for longer copied spans of these outputs in a piece of training text."""
    beat = min(min(target.best.length + 1 for target in group), _LONGEST_SAMPLE)
    width = -(-3 * beat // 4)
    stride = beat - width + 1
    table = np.zeros(2**_TABLE_BITS, np.uint8)
    for target in group:
        table[_samples(target.characters, width, 1)] |= np.uint8(target.bit)
    holders = table[_samples(piece.characters, width, stride)]
    sampled = np.flatnonzero(holders)
    if not len(sampled):
        return
    prefix = _prefix(piece.characters)
    for target in group:
        hits = sampled[(holders[sampled] & np.uint8(target.bit)) != 0]
        if len(hits):
            starts = (hits[:, None] * stride - np.arange(stride)[::-1]).ravel()
            _extend(piece, prefix, target, starts[starts >= 0])


def _extend(piece: Piece, prefix: Hashes, target: _Target, starts: Places) -> None:
    """Finds the longest span that begins at one of these places of the piece, and keeps it if none was longer."""

    def by_hash(starts: Places, length: int) -> Places:
        starts = starts[starts <= len(piece.characters) - length]
        return starts[target.holds(_stretches(prefix, starts, length), length)]

    def by_text(starts: Places, length: int) -> Places:
        texts = [piece.text(start, start + length) for start in starts.tolist()]
        return starts[np.array([text is not None and text in target.text for text in texts], bool)]

    for held_by in (by_hash, by_text):  # the second only where two different stretches have one hash
        length, at = _longest(held_by, starts, target.best.length, len(target.text))
        if length <= target.best.length:
            return
        text = piece.text(at, at + length)
        if text is not None and text in target.text:
            item, offset = piece.place(at)
            target.best = Copy(length, text, target.text.index(text), item.source, item.licence, offset)
            return


def _longest(held_by: Callable[[Places, int], Places], starts: Places, least: int, most: int) -> tuple[int, int]:
    """The longest length above `least` at which any place holds, and the first such place; every shorter one holds."""
    starts, length, beyond, step = starts, least, most + 1, 1
    while beyond - length > 1:
        attempt = min(length + step, (length + beyond) // 2)
        left = held_by(starts, attempt)
        if len(left):
            starts, length, step = left, attempt, step * 2
        else:
            beyond = attempt
            if length == least:
                break
    return length, int(starts[0]) if len(starts) else 0


def _samples(text: Characters, width: int, stride: int) -> NDArray[np.uint32]:
    """Table places of the stretches of `width` characters that begin at every `stride`-th character."""
    count = max(len(text) - width, -1) // stride + 1
    hashes = np.zeros(count, np.uint32)
    if count:
        for i in range(width):
            hashes *= _SHORT_BASE
            hashes += text[i : i + (count - 1) * stride + 1 : stride]
    hashes ^= hashes >> np.uint32(15)
    hashes *= np.uint32(0x2C1B3C6D)
    return hashes >> np.uint32(32 - _TABLE_BITS)


def _prefix(text: Characters) -> Hashes:
    """Sums of characters times powers of the base, of every beginning of the text, modulo 2^64."""
    sums = np.zeros(len(text) + 1, np.uint64)
    np.cumsum(text * _powers(_BASE, len(text).bit_length())[: len(text)], out=sums[1:])
    return sums


def _stretches(prefix: Hashes, starts: Places, length: int) -> Hashes:
    """Hashes of the stretches of this length, the same wherever they stand and in whichever text."""
    shift = _powers(pow(_BASE, -1, 2**64), len(prefix).bit_length())
    return (prefix[starts + length] - prefix[starts]) * shift[starts]


@lru_cache(maxsize=32)
def _powers(base: int, bits: int) -> Hashes:
    powers = np.full(2**bits, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)
