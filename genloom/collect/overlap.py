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

MAX_SAMPLES_IN_MEMORY = 1 << 22  # samples compared in memory
MIN_SAMPLES = 4  # samples: fewer say too little
MAX_PASSAGE_DOCUMENTS = (
    64  # documents that share a passage: one in more is a heading, a form or a prompt, and makes no twins
)
# A document is tied to those that hold an eighth of it or more, if they hold half of it together. One of which three
# quarters are found elsewhere, but in crumbs beyond those, cannot stand with all of them, and is never held back.
MIN_PAIR_SHARE, MIN_OVERLAP_SHARE, MIN_SCATTERED_SHARE = 1 / 8, 1 / 2, 3 / 4


@dataclass(frozen=True)
class DuplicateGroups:
    """What documents may not be parted.

    `groups_D`: int64, the number of the first document of the group that each stands with, its own if it is alone.
    `barred_D`: bool, what may not be held back.
    """

    group_ids_D: np.ndarray
    excluded_D: np.ndarray

    @property
    def constrained_ids(self) -> np.ndarray:
        """The numbers of the documents that are in a group with others, or barred."""
        return np.flatnonzero((np.bincount(self.group_ids_D, minlength=1)[self.group_ids_D] > 1) | self.excluded_D)


class OverlapIndex:
    """What the kept documents hold, in a file of `folder` of 8 bytes a sample: a twelfth of the size of a text.

    Numbers documents as they are added. Comparing takes some 30 bytes a document in memory.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "samples"
        self._num_samples = self._num_documents = 0

    def add(self, sketches: Sketches, rows: list[int]) -> None:
        """Takes in those documents of a batch that were kept."""
        numbers = np.full(len(sketches.keys_BK), -1, np.int64)
        numbers[rows] = self._num_documents + np.arange(len(rows))
        self._num_documents += len(rows)
        owners_N = numbers[sketches.owners_N]
        is_kept = owners_N >= 0
        packed_N = sketches.samples_N[is_kept].astype(np.uint64) << np.uint64(32) | owners_N[is_kept].astype(np.uint64)
        with self._path.open("ab") as file:
            file.write(packed_N.tobytes())
        self._num_samples += len(packed_N)

    def find_groups(self) -> DuplicateGroups:
        """Compares all documents added."""
        no_groups = DuplicateGroups(np.arange(self._num_documents), np.zeros(self._num_documents, bool))
        num_samples_D, num_shared_D = np.zeros(self._num_documents, np.int32), np.zeros(self._num_documents, np.int32)
        for _, size_N, owner_N in self._iter_passages():
            num_samples_D += np.bincount(owner_N, minlength=self._num_documents).astype(np.int32)
            num_shared_D += np.bincount(owner_N[size_N > 1], minlength=self._num_documents).astype(np.int32)
        is_overlapping_D = (num_shared_D >= MIN_OVERLAP_SHARE * num_samples_D) & (num_samples_D >= MIN_SAMPLES)
        if not is_overlapping_D.any():
            return no_groups
        group_ids_D = _connected_components(self._num_documents, *self._find_links(is_overlapping_D, num_samples_D))
        num_outside_D = np.zeros(self._num_documents, np.int32)
        for is_first_N, _, owner_N in self._iter_passages():
            group_N, starts = group_ids_D[owner_N], np.flatnonzero(is_first_N)
            passage_N = np.cumsum(is_first_N) - 1
            lowest, highest = np.minimum.reduceat(group_N, starts), np.maximum.reduceat(group_N, starts)
            is_across_groups = (lowest != highest)[passage_N]
            num_outside_D += np.bincount(owner_N[is_across_groups], minlength=self._num_documents).astype(np.int32)
        is_scattered_D = (
            is_overlapping_D
            & (num_shared_D >= MIN_SCATTERED_SHARE * num_samples_D)
            & (num_outside_D >= MIN_OVERLAP_SHARE * num_samples_D)
        )
        excluded_D = np.isin(group_ids_D, group_ids_D[is_scattered_D])
        return DuplicateGroups(group_ids_D, excluded_D)

    def _find_links(self, is_overlapping_D: np.ndarray, num_samples_D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of documents, of which the second holds much of the first.

        Each passage is put down to the next document that holds it, and once more to the one before: of drafts of a
        text the neighbours are the most alike, and the work stays in proportion to the text.
        """
        documents, containers = [], []
        for is_forward in (True, False):
            keys, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
            for is_first_N, _, owner_N in self._iter_passages():
                next_indices = np.flatnonzero(~is_first_N)
                owner, neighbour = (next_indices - 1, next_indices) if is_forward else (next_indices, next_indices - 1)
                owner, neighbour = owner_N[owner], owner_N[neighbour]
                is_overlapping = is_overlapping_D[owner]
                pair_keys = owner[is_overlapping].astype(np.uint64) << np.uint64(32) | neighbour[is_overlapping].astype(
                    np.uint64
                )
                keys, counts = _add_counts(keys, counts, pair_keys)
            document, container = (
                (keys >> np.uint64(32)).astype(np.int64),
                (keys & np.uint64(0xFFFFFFFF)).astype(np.int64),
            )
            is_strong = counts >= np.maximum(MIN_PAIR_SHARE * num_samples_D[document], 2)
            document, container, counts = document[is_strong], container[is_strong], counts[is_strong]
            total_links_D = np.bincount(document, counts, minlength=len(num_samples_D))
            has_enough = total_links_D[document] >= MIN_OVERLAP_SHARE * num_samples_D[document]
            documents.append(document[has_enough])
            containers.append(container[has_enough])
        return np.concatenate(documents), np.concatenate(containers)

    def _iter_passages(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The samples in order of their passages, those of common ones left out, a few million at a time.

        Of each whether it is the first of its passage, how many documents hold the passage, and which one this is.
        """
        if not self._num_samples:
            return
        packed_N = np.memmap(self._path, np.uint64, "r", shape=(self._num_samples,))
        num_partitions = -(-self._num_samples // MAX_SAMPLES_IN_MEMORY)
        for partition in range(num_partitions):
            samples_N = np.sort(_read_partition(packed_N, partition, num_partitions))
            samples_N = samples_N[_is_run_start(samples_N)]
            hash_N = samples_N >> np.uint64(32)
            is_first_N = _is_run_start(hash_N)
            sizes = np.diff(np.append(np.flatnonzero(is_first_N), len(hash_N)))
            size_N = np.repeat(sizes, sizes)
            is_rare = size_N <= MAX_PASSAGE_DOCUMENTS
            if is_rare.any():
                yield (
                    is_first_N[is_rare],
                    size_N[is_rare],
                    (samples_N[is_rare] & np.uint64(0xFFFFFFFF)).astype(np.int64),
                )


def _read_partition(packed_N: np.ndarray, partition: int, num_partitions: int) -> np.ndarray:
    """The samples whose hash belongs to the lot."""
    if num_partitions == 1:
        return np.array(packed_N)
    parts = []
    for start in range(0, len(packed_N), MAX_SAMPLES_IN_MEMORY):
        chunk = np.array(packed_N[start : start + MAX_SAMPLES_IN_MEMORY])
        parts.append(chunk[(chunk >> np.uint64(32)) % np.uint64(num_partitions) == partition])
    return np.concatenate(parts)


def _add_counts(keys: np.ndarray, counts: np.ndarray, new_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The counts of keys with some more of them, the keys in order."""
    all_keys = np.concatenate([keys, new_keys])
    order = np.argsort(all_keys, kind="stable")
    starts = np.flatnonzero(_is_run_start(all_keys[order]))
    all_counts = np.concatenate([counts, np.ones(len(new_keys), np.int64)])[order]
    return all_keys[order][starts], np.add.reduceat(all_counts, starts) if len(starts) else counts


def _is_run_start(sorted_N: np.ndarray) -> np.ndarray:
    """Which are unlike the one before. (np.unique hashes before it sorts, and takes ten times as long.)"""
    return np.concatenate([np.ones(min(1, len(sorted_N)), bool), sorted_N[1:] != sorted_N[:-1]])


def _connected_components(num_documents: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The lowest number of all that are tied to each document, however long the chain."""
    group_ids_D = np.arange(num_documents)
    while len(left):
        lowest = np.minimum(group_ids_D[left], group_ids_D[right])
        if (group_ids_D[left] == lowest).all() and (group_ids_D[right] == lowest).all():
            break
        # What a group is joined to is told to the one that names it, so that all of the group learns it.
        for roots in (group_ids_D[left], group_ids_D[right]):
            np.minimum.at(group_ids_D, roots, lowest)
        group_ids_D = group_ids_D[group_ids_D]
    return group_ids_D
