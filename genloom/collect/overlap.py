"""Find documents that share much of their text, so that each group of them can be placed in one split.

A near-duplicate of a whole document is removed (see `duplicates`). What remains are documents that overlap in part:
chunks of two drafts with different boundaries, an excerpt, a text with every twentieth word changed. The index stores
the hashes of a fixed share of each document's passages (FracMinHash, Irber et al. 2022) and compares them at the end.

N samples, D documents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genloom.collect.duplicates import Sketches

MAX_SAMPLES_IN_MEMORY = 1 << 22  # compared at a time
MIN_SAMPLES = 4  # of a document; fewer are too weak evidence
MAX_PASSAGE_DOCUMENTS = 64  # a passage in more documents is a heading, a form or a prompt, and is ignored
# A document joins the documents that hold an eighth of it or more, if together they hold half of it. A document of
# which three quarters occur in others, but scattered over many of them, cannot join them all and is never held out.
MIN_PAIR_SHARE, MIN_OVERLAP_SHARE, MIN_SCATTERED_SHARE = 1 / 8, 1 / 2, 3 / 4


@dataclass(frozen=True)
class DuplicateGroups:
    """Groups of documents that must be in one split.

    `group_ids_D`: int64, the number of the first document of each document's group, its own if it is alone.
    `excluded_D`: bool, whether a document must not be held out.
    """

    group_ids_D: np.ndarray
    excluded_D: np.ndarray

    @property
    def constrained_ids(self) -> np.ndarray:
        """Return the numbers of the documents that are in a group with others, or excluded."""
        return np.flatnonzero((np.bincount(self.group_ids_D, minlength=1)[self.group_ids_D] > 1) | self.excluded_D)


class OverlapIndex:
    """Samples of the kept documents, in a file in `folder`: 8 bytes a sample, a twelfth of the size of a text.

    Documents are numbered as they are added. Comparing them takes about 30 bytes of memory per document.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "samples"
        self._num_samples = self._num_documents = 0

    def add(self, sketches: Sketches, rows: list[int]) -> None:
        """Add the documents of a batch that were kept."""
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
        """Compare all documents and return their groups."""
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
        """Return pairs of documents of which the second holds much of the first.

        Each passage counts for the next document that holds it, and for the previous one: neighbouring drafts of a
        text are the most similar, and the work stays proportional to the text.
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
        """Yield the samples sorted by passage, without common passages, a few million at a time.

        For each sample: whether it is the first of its passage, how many documents hold the passage, and its document.
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
    """Return the samples whose hash belongs to the partition."""
    if num_partitions == 1:
        return np.array(packed_N)
    parts = []
    for start in range(0, len(packed_N), MAX_SAMPLES_IN_MEMORY):
        chunk = np.array(packed_N[start : start + MAX_SAMPLES_IN_MEMORY])
        parts.append(chunk[(chunk >> np.uint64(32)) % np.uint64(num_partitions) == partition])
    return np.concatenate(parts)


def _add_counts(keys: np.ndarray, counts: np.ndarray, new_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys in order with their counts, after adding one for each new key."""
    all_keys = np.concatenate([keys, new_keys])
    order = np.argsort(all_keys, kind="stable")
    starts = np.flatnonzero(_is_run_start(all_keys[order]))
    all_counts = np.concatenate([counts, np.ones(len(new_keys), np.int64)])[order]
    return all_keys[order][starts], np.add.reduceat(all_counts, starts) if len(starts) else counts


def _is_run_start(sorted_N: np.ndarray) -> np.ndarray:
    """Tell which elements differ from the previous one. (np.unique hashes first, and takes ten times as long.)"""
    return np.concatenate([np.ones(min(1, len(sorted_N)), bool), sorted_N[1:] != sorted_N[:-1]])


def _connected_components(num_documents: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return for each document the lowest number in its connected component, however long the chain."""
    group_ids_D = np.arange(num_documents)
    while len(left):
        lowest = np.minimum(group_ids_D[left], group_ids_D[right])
        if (group_ids_D[left] == lowest).all() and (group_ids_D[right] == lowest).all():
            break
        # The roots take the new numbers too, so that the whole group follows.
        for roots in (group_ids_D[left], group_ids_D[right]):
            np.minimum.at(group_ids_D, roots, lowest)
        group_ids_D = group_ids_D[group_ids_D]
    return group_ids_D
