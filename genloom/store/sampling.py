"""Deterministic sampling of documents and passages of a split, by document ids.

Shape letters: N documents, P passages.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.types import Item

PASSAGE_BYTES = 4000  # approximate maximum

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Passage:
    """One of `count` passages of equal length in the document with this number in its split."""

    document: int
    number: int
    count: int


def extract_passages(
    item: Item, passages: Sequence[Passage], split: Callable[[Any, int], Sequence[Any]]
) -> list[Item | None]:
    """Return passages of one document, by the medium's `split`: None where that made fewer, as of a conversation."""
    parts = [item.value] if "turns" in item.meta else split(item.value, passages[0].count)
    return [replace(item, value=parts[each.number]) if each.number < len(parts) else None for each in passages]


@dataclass(frozen=True)
class DocumentIndex:
    """The hashed id, the bytes and the row group of each document of a split, in the order collected."""

    keys_N: NDArray[np.uint64]
    sizes_N: Numbers
    groups_N: Numbers

    @staticmethod
    def from_row_groups(rows: Iterable[tuple[int, Sequence[str], Sequence[int]]]) -> "DocumentIndex":
        """Build the index from row groups: their number, and the ids and bytes of their documents."""
        keys, sizes, groups = [], [], []
        for group, ids, byte_counts in rows:
            keys.append(np.fromiter(map(_hash_id, ids), np.uint64, len(ids)))
            sizes.append(np.array(byte_counts, np.int64))
            groups.append(np.full(len(ids), group, np.int64))
        return DocumentIndex(
            np.concatenate([np.zeros(0, np.uint64), *keys]),
            np.concatenate([np.zeros(0, np.int64), *sizes]),
            np.concatenate([np.zeros(0, np.int64), *groups]),
        )

    def sample_documents(self, count: int) -> Numbers:
        """Return the numbers of `count` documents sampled uniformly, in the order collected."""
        return np.sort(np.argsort(self.keys_N, kind="stable")[:count])

    def iter_passages(self, max_bytes: int) -> Iterator[list[Passage]]:
        """Yield all passages in random order, in portions of about `max_bytes`.

        Long documents have more passages than short ones, so the first passages are an unbiased sample of the bytes.
        """
        counts_N = np.maximum(-(-self.sizes_N // PASSAGE_BYTES), 1)
        document_P = np.repeat(np.arange(len(counts_N)), counts_N)
        number_P = np.arange(len(document_P)) - np.repeat(np.cumsum(counts_N) - counts_N, counts_N)
        order_P = np.argsort(_mix_keys(self.keys_N[document_P], number_P), kind="stable")
        document_P, number_P = document_P[order_P], number_P[order_P]
        sizes_P = self.sizes_N[document_P] / counts_N[document_P]
        portion_P = (np.cumsum(sizes_P) - sizes_P) // (max(max_bytes, 0) + PASSAGE_BYTES)
        begins = np.flatnonzero(np.diff(portion_P, prepend=-1)).tolist()
        for begin, end in zip(begins, [*begins[1:], len(document_P)], strict=True):
            passage_documents = document_P[begin:end]
            rows = zip(
                passage_documents.tolist(),
                number_P[begin:end].tolist(),
                counts_N[passage_documents].tolist(),
                strict=True,
            )
            yield [Passage(*row) for row in rows]


def _hash_id(number: str) -> int:
    return int.from_bytes(hashlib.blake2b(number.encode(), digest_size=8).digest(), "little")


def _mix_keys(keys: NDArray[np.uint64], numbers: Numbers) -> NDArray[np.uint64]:
    """Hash each pair to a pseudo-random number (the finalizer of SplitMix64: Steele, Lea and Flood 2014)."""
    x = keys + numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
