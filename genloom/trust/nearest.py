"""The training passages that lie nearest to each output: those that share most of its n-grams of characters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.trust.pieces import Characters, Piece, characters, pieces
from genloom.types import Item

_NONE = -1
_SHORTEST_PASSAGE = 200
_TABLE_BITS = 18
_BASE = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """A training passage, and the share of the output's different n-grams that it holds."""

    share: float
    text: str
    source: str
    licence: str
    offset: int  # in the document, in characters


class _Target:
    """An output's n-grams and the best passages found so far, best first."""

    def __init__(self, text: str, size: int) -> None:
        self.grams = np.unique(_grams(characters(text), size))
        self.length = max(len(text), _SHORTEST_PASSAGE)
        self.best: list[tuple[int, Match]] = []  # with the number of the document


def nearest(outputs: Sequence[str], documents: Iterable[Item], count: int = 3, size: int = 8) -> list[list[Match]]:
    """For each output up to `count` passages of about its own length, the nearest first; of equals, the first seen.

    One pass over the documents; memory depends on the outputs alone. `size` is the characters of an n-gram. A passage
    may begin at every half length of a document; those returned do not overlap, and each shares something.
    """
    targets = [_Target(text, size) for text in outputs]
    known = np.unique(np.concatenate([target.grams for target in targets] or [np.zeros(0, np.uint64)]))
    numbers = [np.full(len(known), _NONE) for _ in targets]  # of each known n-gram in each output
    for target, number in zip(targets, numbers, strict=True):
        number[np.searchsorted(known, target.grams)] = np.arange(len(target.grams))
    sieve = np.zeros(2**_TABLE_BITS, bool)
    sieve[_slot(known)] = True
    overlap = 2 * max((target.length for target in targets), default=0)
    for piece in pieces(documents, overlap):
        grams = _grams(piece.characters, size)
        at = np.flatnonzero(sieve[_slot(grams)])
        found = np.minimum(np.searchsorted(known, grams[at]), len(known) - 1)
        found, at = found[known[found] == grams[at]], at[known[found] == grams[at]]
        for target, number in zip(targets, numbers, strict=True):
            held = number[found] != _NONE
            if held.any():
                _collect(piece, at[held], number[found[held]], target, count)
    return [[match for _, match in target.best] for target in targets]


def _collect(piece: Piece, at: Places, number: Places, target: _Target, count: int) -> None:
    """Takes the passages of a piece that come nearer to the output than the `count` it has.

    `at` are the places of the output's n-grams in the piece, and `number` says which n-gram each is.
    """
    different = len(target.grams)
    half = target.length // 2
    begins = np.array(piece.begins)
    document = np.searchsorted(begins, at, "right") - 1
    # Cells of half a length, counted through all documents, one left free after each: passage i is cells i and i + 1.
    cells = np.diff(begins, append=len(piece.characters)) // half + 2
    first = np.cumsum(cells) - cells
    cell = first[document] + (at - begins[document]) // half
    later = cell > first[document]
    pairs = np.unique(np.concatenate([cell * different + number, ((cell - 1) * different + number)[later]]))
    shared = np.bincount(pairs // different)
    least = target.best[-1][1].share * different if len(target.best) == count else 0
    passages = np.flatnonzero(shared > least)
    for passage in passages[np.argsort(-shared[passages], kind="stable")].tolist():
        inside = int(np.searchsorted(first, passage, "right")) - 1
        start = piece.begins[inside] + (passage - int(first[inside])) * half
        _insert(target, *_passage(piece, start, target.length, shared[passage] / different), count)


def _passage(piece: Piece, start: int, length: int, share: float) -> tuple[int, Match]:
    item, offset = piece.place(start)
    text = item.value[offset : offset + length]
    return piece.number(start), Match(float(share), text, item.source, item.licence, offset)


def _insert(target: _Target, number: int, match: Match, count: int) -> None:
    """Puts a passage in its place, unless it overlaps a nearer one; a farther one that it overlaps makes way."""
    others = [
        (other, held)
        for other, held in target.best
        if other == number and abs(held.offset - match.offset) < target.length
    ]
    if any(held.share >= match.share for _, held in others):
        return
    kept = [entry for entry in target.best if entry not in others]
    target.best = sorted([*kept, (number, match)], key=lambda entry: -entry[1].share)[:count]


def _grams(text: Characters, size: int) -> Hashes:
    """A hash of the `size` characters from each place on."""
    hashes = np.zeros(max(len(text) - size + 1, 0), np.uint64)
    if len(hashes):
        for i in range(size):
            hashes *= _BASE
            hashes += text[i : i + len(hashes)]
    return hashes


def _slot(hashes: Hashes) -> Hashes:
    return (hashes * _BASE) >> np.uint64(64 - _TABLE_BITS)
