"""Finds documents that hold much of one another's text, so that the borders between the splits run around them.

A near-duplicate of a whole document is removed (see `duplicates`). What is left are documents alike in part: pieces of
two drafts that were cut at different places, an excerpt, a text of which every twentieth word was changed. Of each
document the hashes of a fixed share of its passages are kept (FracMinHash, Irber et al. 2022) and compared at the end.

N samples, D documents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genloom.collect.duplicates import Sketches

AT_ONCE = 1 << 22  # samples compared in memory
JUDGED_FROM = 4  # samples: fewer say too little
COMMON = 64  # documents that share a passage: one in more is a heading, a form or a prompt, and makes no twins
# A document is tied to those that hold an eighth of it or more, if they hold half of it together. One of which three
# quarters are found elsewhere, but in crumbs beyond those, cannot stand with all of them, and is never held back.
HOLDS, HELD, SCATTERED = 1 / 8, 1 / 2, 3 / 4


@dataclass(frozen=True)
class Kinship:
    """What documents may not be parted.

    `groups_D`: int64, the number of the first document of the group that each stands with, its own if it is alone.
    `barred_D`: bool, what may not be held back.
    """

    groups_D: np.ndarray
    barred_D: np.ndarray

    @property
    def tied(self) -> np.ndarray:
        """The numbers of the documents that are in a group with others, or barred."""
        return np.flatnonzero((np.bincount(self.groups_D, minlength=1)[self.groups_D] > 1) | self.barred_D)


class Overlaps:
    """What the kept documents hold, in a file of `folder` of 8 bytes a sample: a twelfth of the size of a text.

    Numbers documents as they are added. Comparing takes some 30 bytes a document in memory.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "samples"
        self._samples = self._documents = 0

    def add(self, sketches: Sketches, rows: list[int]) -> None:
        """Takes in those documents of a batch that were kept."""
        numbers = np.full(len(sketches.keys_BK), -1, np.int64)
        numbers[rows] = self._documents + np.arange(len(rows))
        self._documents += len(rows)
        owners_N = numbers[sketches.owners_N]
        kept = owners_N >= 0
        packed_N = sketches.samples_N[kept].astype(np.uint64) << np.uint64(32) | owners_N[kept].astype(np.uint64)
        with self._path.open("ab") as file:
            file.write(packed_N.tobytes())
        self._samples += len(packed_N)

    def kinship(self) -> Kinship:
        """Compares all documents added."""
        alone = Kinship(np.arange(self._documents), np.zeros(self._documents, bool))
        count_D, shared_D = np.zeros(self._documents, np.int32), np.zeros(self._documents, np.int32)
        for _, size_N, owner_N in self._passages():
            count_D += np.bincount(owner_N, minlength=self._documents).astype(np.int32)
            shared_D += np.bincount(owner_N[size_N > 1], minlength=self._documents).astype(np.int32)
        found_D = (shared_D >= HELD * count_D) & (count_D >= JUDGED_FROM)
        if not found_D.any():
            return alone
        groups_D = _joined(self._documents, *self._ties(found_D, count_D))
        outside_D = np.zeros(self._documents, np.int32)
        for first_N, _, owner_N in self._passages():
            group_N, starts = groups_D[owner_N], np.flatnonzero(first_N)
            passage_N = np.cumsum(first_N) - 1
            lowest, highest = np.minimum.reduceat(group_N, starts), np.maximum.reduceat(group_N, starts)
            elsewhere = (lowest != highest)[passage_N]
            outside_D += np.bincount(owner_N[elsewhere], minlength=self._documents).astype(np.int32)
        scattered_D = found_D & (shared_D >= SCATTERED * count_D) & (outside_D >= HELD * count_D)
        barred_D = np.isin(groups_D, groups_D[scattered_D])
        return Kinship(groups_D, barred_D)

    def _ties(self, found_D: np.ndarray, count_D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of documents, of which the second holds much of the first.

        Each passage is put down to the next document that holds it, and once more to the one before: of drafts of a
        text the neighbours are the most alike, and the work stays in proportion to the text.
        """
        held, holders = [], []
        for forwards in (True, False):
            keys, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
            for first_N, _, owner_N in self._passages():
                follows = np.flatnonzero(~first_N)
                here, there = (follows - 1, follows) if forwards else (follows, follows - 1)
                here, there = owner_N[here], owner_N[there]
                wanted = found_D[here]
                pair = here[wanted].astype(np.uint64) << np.uint64(32) | there[wanted].astype(np.uint64)
                keys, counts = _added(keys, counts, pair)
            one, other = (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
            strong = counts >= np.maximum(HOLDS * count_D[one], 2)
            one, other, counts = one[strong], other[strong], counts[strong]
            together_D = np.bincount(one, counts, minlength=len(count_D))
            enough = together_D[one] >= HELD * count_D[one]
            held.append(one[enough])
            holders.append(other[enough])
        return np.concatenate(held), np.concatenate(holders)

    def _passages(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The samples in order of their passages, those of common ones left out, a few million at a time.

        Of each whether it is the first of its passage, how many documents hold the passage, and which one this is.
        """
        if not self._samples:
            return
        packed_N = np.memmap(self._path, np.uint64, "r", shape=(self._samples,))
        lots = -(-self._samples // AT_ONCE)
        for lot in range(lots):
            chosen_N = np.sort(_lot(packed_N, lot, lots))
            chosen_N = chosen_N[_new(chosen_N)]
            hash_N = chosen_N >> np.uint64(32)
            first_N = _new(hash_N)
            sizes = np.diff(np.append(np.flatnonzero(first_N), len(hash_N)))
            size_N = np.repeat(sizes, sizes)
            usual = size_N <= COMMON
            if usual.any():
                yield first_N[usual], size_N[usual], (chosen_N[usual] & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _lot(packed_N: np.ndarray, lot: int, lots: int) -> np.ndarray:
    """The samples whose hash belongs to the lot."""
    if lots == 1:
        return np.array(packed_N)
    parts = []
    for start in range(0, len(packed_N), AT_ONCE):
        some = np.array(packed_N[start : start + AT_ONCE])
        parts.append(some[(some >> np.uint64(32)) % np.uint64(lots) == lot])
    return np.concatenate(parts)


def _added(keys: np.ndarray, counts: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The counts of keys with some more of them, the keys in order."""
    both = np.concatenate([keys, more])
    order = np.argsort(both, kind="stable")
    starts = np.flatnonzero(_new(both[order]))
    many = np.concatenate([counts, np.ones(len(more), np.int64)])[order]
    return both[order][starts], np.add.reduceat(many, starts) if len(starts) else counts


def _new(sorted_N: np.ndarray) -> np.ndarray:
    """Which are unlike the one before. (np.unique hashes before it sorts, and takes ten times as long.)"""
    return np.concatenate([np.ones(min(1, len(sorted_N)), bool), sorted_N[1:] != sorted_N[:-1]])


def _joined(documents: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The lowest number of all that are tied to each document, however long the chain."""
    groups_D = np.arange(documents)
    while len(one):
        lowest = np.minimum(groups_D[one], groups_D[other])
        if (groups_D[one] == lowest).all() and (groups_D[other] == lowest).all():
            break
        # What a group is joined to is told to the one that names it, so that all of the group learns it.
        for of in (groups_D[one], groups_D[other]):
            np.minimum.at(groups_D, of, lowest)
        groups_D = groups_D[groups_D]
    return groups_D
