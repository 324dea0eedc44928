"""The training passages nearest to each output: those that share most of its character n-grams."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.trust.text_chunks import CodePoints, TextChunk, iter_text_chunks, to_code_points
from genloom.types import Item

_NO_MATCH = -1
_MIN_PASSAGE_CHARS = 200
_TABLE_BITS = 18
_BASE = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class NearestPassage:
    """A training passage, and the share of the output's distinct n-grams that it contains."""

    containment: float
    text: str
    source: str
    licence: str
    offset: int  # in the document, in characters


class _Target:
    """An output's n-grams and the best passages found so far, best first."""

    def __init__(self, text: str, size: int) -> None:
        self.ngram_hashes = np.unique(_hash_ngrams(to_code_points(text), size))
        self.passage_length = max(len(text), _MIN_PASSAGE_CHARS)
        self.matches: list[tuple[int, NearestPassage]] = []  # with the index of the document


def find_nearest_passages(
    outputs: Sequence[str], documents: Iterable[Item], count: int = 3, ngram_size: int = 8
) -> list[list[NearestPassage]]:
    """Find up to `count` passages nearest to each output, of about its length, nearest first, ties in stream order.

    It takes one pass over the documents; memory depends on the outputs alone. A passage begins at a multiple of half
    its length; those returned do not overlap, and each shares at least one n-gram.
    """
    targets = [_Target(text, ngram_size) for text in outputs]
    known_hashes = np.unique(np.concatenate([target.ngram_hashes for target in targets] or [np.zeros(0, np.uint64)]))
    gram_ids_by_target = [np.full(len(known_hashes), _NO_MATCH) for _ in targets]
    for target, gram_ids in zip(targets, gram_ids_by_target, strict=True):
        gram_ids[np.searchsorted(known_hashes, target.ngram_hashes)] = np.arange(len(target.ngram_hashes))
    sieve = np.zeros(2**_TABLE_BITS, bool)
    sieve[_compute_slots(known_hashes)] = True
    overlap = 2 * max((target.passage_length for target in targets), default=0)
    for chunk in iter_text_chunks(documents, overlap):
        chunk_hashes = _hash_ngrams(chunk.code_points, ngram_size)
        positions = np.flatnonzero(sieve[_compute_slots(chunk_hashes)])
        hash_indices = np.minimum(np.searchsorted(known_hashes, chunk_hashes[positions]), len(known_hashes) - 1)
        hash_indices, positions = (
            hash_indices[known_hashes[hash_indices] == chunk_hashes[positions]],
            positions[known_hashes[hash_indices] == chunk_hashes[positions]],
        )
        for target, gram_ids in zip(targets, gram_ids_by_target, strict=True):
            is_in_target = gram_ids[hash_indices] != _NO_MATCH
            if is_in_target.any():
                _collect_passages(chunk, positions[is_in_target], gram_ids[hash_indices[is_in_target]], target, count)
    return [[match for _, match in target.matches] for target in targets]


def _collect_passages(chunk: TextChunk, positions: Positions, gram_ids: Positions, target: _Target, count: int) -> None:
    """Insert the passages of a chunk that are nearer to the output than its `count` nearest so far.

    `positions` are those of the output's n-grams in the chunk, and `gram_ids` their indices in the output.
    """
    num_grams = len(target.ngram_hashes)
    stride = target.passage_length // 2
    starts = np.array(chunk.starts)
    document_indices = np.searchsorted(starts, positions, "right") - 1
    # Cells of half a length, numbered through all documents with a gap after each: passage i is cells i and i + 1.
    cells = np.diff(starts, append=len(chunk.code_points)) // stride + 2
    first_cell = np.cumsum(cells) - cells
    cell = first_cell[document_indices] + (positions - starts[document_indices]) // stride
    has_previous_cell = cell > first_cell[document_indices]
    pairs = np.unique(
        np.concatenate([cell * num_grams + gram_ids, ((cell - 1) * num_grams + gram_ids)[has_previous_cell]])
    )
    num_shared = np.bincount(pairs // num_grams)
    min_shared = target.matches[-1][1].containment * num_grams if len(target.matches) == count else 0
    passages = np.flatnonzero(num_shared > min_shared)
    for passage in passages[np.argsort(-num_shared[passages], kind="stable")].tolist():
        document_index = int(np.searchsorted(first_cell, passage, "right")) - 1
        start = chunk.starts[document_index] + (passage - int(first_cell[document_index])) * stride
        _insert_match(
            target, *_build_match(chunk, start, target.passage_length, num_shared[passage] / num_grams), count
        )


def _build_match(chunk: TextChunk, start: int, length: int, containment: float) -> tuple[int, NearestPassage]:
    item, offset = chunk.locate(start)
    text = item.value[offset : offset + length]
    return chunk.get_document_id(start), NearestPassage(float(containment), text, item.source, item.licence, offset)


def _insert_match(target: _Target, document_id: int, match: NearestPassage, count: int) -> None:
    """Insert a passage in order unless it overlaps a nearer one; remove those it overlaps."""
    overlapping = [
        (other_id, other_match)
        for other_id, other_match in target.matches
        if other_id == document_id and abs(other_match.offset - match.offset) < target.passage_length
    ]
    if any(other_match.containment >= match.containment for _, other_match in overlapping):
        return
    remaining = [entry for entry in target.matches if entry not in overlapping]
    target.matches = sorted([*remaining, (document_id, match)], key=lambda entry: -entry[1].containment)[:count]


def _hash_ngrams(text: CodePoints, size: int) -> Hashes:
    """Return the hash of the `size` characters at each position."""
    hashes = np.zeros(max(len(text) - size + 1, 0), np.uint64)
    if len(hashes):
        for i in range(size):
            hashes *= _BASE
            hashes += text[i : i + len(hashes)]
    return hashes


def _compute_slots(hashes: Hashes) -> Hashes:
    return (hashes * _BASE) >> np.uint64(64 - _TABLE_BITS)
