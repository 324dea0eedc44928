"""Find documents that share much of their text, so that each group of them can be placed in one split.

A near-duplicate of a whole document is removed (see `duplicates`). The remaining documents may overlap in part:
chunks of two drafts with different boundaries, an excerpt, a text with every twentieth word changed, the same answer to
another question, another answer to the same question. The index stores the hashes of all passages of short documents,
and of a share of those of long ones (FracMinHash, Irber et al. 2022), and compares them at the end.

N samples, D documents, L levels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genloom.collect.duplicates import Sketches
from genloom.collect.sorted_runs import SortedRuns, find_run_starts

LEVELS, OWNER_BITS = 4, 30
OWNER_MASK = np.uint64((1 << OWNER_BITS) - 1)
MIN_SAMPLES = 2  # of passages in common; fewer are too weak evidence, unless a document hardly has more
MAX_PASSAGE_DOCUMENTS = 64  # a passage in more documents is a heading, a form or a prompt, and is ignored
# A document joins the documents that hold an eighth of it or more, if together they hold half of it; those that hold
# less than half as much as the largest are left out if the others hold half of it without them. A document of which
# three quarters occur in others, but scattered over many of them, cannot join them all and is never held out.
MIN_PAIR_SHARE, MIN_OVERLAP_SHARE, MIN_SCATTERED_SHARE, MIN_RELATIVE_SHARE = 1 / 8, 1 / 2, 3 / 4, 1 / 2


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
    """Samples of documents, sorted in files in `folder`: 8 bytes a sample, up to 1.5 times the size of a text.

    Documents are numbered as they are added. Comparing them takes about 80 bytes of memory per document.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._samples = SortedRuns(folder, "samples")
        self._num_documents = 0
        self._levels: list[np.ndarray] = []
        self._links: list[np.ndarray] = []
        self._prompt_links: list[np.ndarray] = []

    def add(self, sketches: Sketches) -> None:
        """Add the documents of a batch."""
        count = len(sketches.keys_BK)
        for parts, values in (
            (self._levels, sketches.levels_B),
            (self._links, sketches.links_B),
            (self._prompt_links, sketches.prompt_links_B),
        ):
            parts.append(values if len(values) else np.zeros(count, values.dtype))
        owners_N = sketches.owners_N.astype(np.uint64) + np.uint64(self._num_documents)
        self._samples.add(sketches.samples_N << np.uint64(OWNER_BITS) | owners_N)
        self._num_documents += count

    def find_groups(self, is_kept_D: np.ndarray) -> DuplicateGroups:
        """Compare the documents that are kept, and return their groups; they are numbered without the others."""
        num_documents = int(is_kept_D.sum())
        levels_D = np.concatenate([np.zeros(0, np.uint8), *self._levels])[is_kept_D]
        numbers = (
            np.concatenate([np.zeros(0, np.uint64), *parts])[is_kept_D] for parts in (self._links, self._prompt_links)
        )
        links = tuple(np.concatenate(ends) for ends in zip(*map(_link_equal, numbers), strict=True))
        num_samples_DL, num_shared_DL, num_outside_DL = (np.zeros((num_documents, LEVELS), np.int32) for _ in range(3))
        kept_numbers_D = np.cumsum(is_kept_D) - 1
        shared = SortedRuns(self._folder, "shared-samples")
        for range_RW in self._samples.iter_ranges():
            samples_N = _renumber_samples(range_RW[:, 0], is_kept_D, kept_numbers_D)
            size_N, owner_N, level_N = _list_passages(samples_N)[1:]
            is_rare = size_N <= MAX_PASSAGE_DOCUMENTS
            is_shared = is_rare & (size_N > 1)
            _add_by_level(num_samples_DL, owner_N[is_rare], level_N[is_rare])
            _add_by_level(num_shared_DL, owner_N[is_shared], level_N[is_shared])
            shared.add(samples_N[is_shared])
        num_samples_DL, num_shared_DL = _sum_levels(num_samples_DL), _sum_levels(num_shared_DL)
        # A short document without other samples is compared however few they are: they are all that it has.
        is_evident_DL = num_samples_DL >= MIN_SAMPLES
        is_evident_DL[:, 0] |= (levels_D == 0) & (num_samples_DL[:, 0] > 0)
        is_overlapping_D = np.any(is_evident_DL & (num_shared_DL >= MIN_OVERLAP_SHARE * num_samples_DL), axis=1)
        if not is_overlapping_D.any():
            return DuplicateGroups(_find_connected_components(num_documents, *links), np.zeros(num_documents, bool))
        for is_forward in (True, False):
            further_links = _find_links(shared, is_overlapping_D, levels_D, num_samples_DL, is_forward)
            links = tuple(np.concatenate(parts) for parts in zip(links, further_links, strict=True))
        group_ids_D = _find_connected_components(num_documents, *links)
        for is_first_N, _, owner_N, level_N in _iter_shared(shared):
            group_N, starts = group_ids_D[owner_N], np.flatnonzero(is_first_N)
            passage_N = np.cumsum(is_first_N) - 1
            lowest, highest = np.minimum.reduceat(group_N, starts), np.maximum.reduceat(group_N, starts)
            is_across_groups = (lowest != highest)[passage_N]
            _add_by_level(num_outside_DL, owner_N[is_across_groups], level_N[is_across_groups])
        is_scattered_DL = (
            is_evident_DL
            & (num_shared_DL >= MIN_SCATTERED_SHARE * num_samples_DL)
            & (_sum_levels(num_outside_DL) >= MIN_OVERLAP_SHARE * num_samples_DL)
        )
        excluded_D = np.isin(group_ids_D, group_ids_D[is_overlapping_D & is_scattered_DL.any(axis=1)])
        return DuplicateGroups(group_ids_D, excluded_D)


def _find_links(
    shared: SortedRuns,
    is_overlapping_D: np.ndarray,
    levels_D: np.ndarray,
    num_samples_DL: np.ndarray,
    is_forward: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of documents of which the second holds much of the first.

    Each passage counts for the next document that holds it, or else for the previous one: neighbouring drafts of a
    text are the most similar, and the work stays proportional to the text. Two documents are compared by the
    passages of the higher of their levels, which are complete for both.
    """
    keys, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    for is_first_N, _, owner_N, _ in _iter_shared(shared):
        next_indices = np.flatnonzero(~is_first_N)
        owner, neighbour = (next_indices - 1, next_indices) if is_forward else (next_indices, next_indices - 1)
        owner, neighbour = owner_N[owner], owner_N[neighbour]
        is_overlapping = is_overlapping_D[owner]
        pair_keys = owner[is_overlapping].astype(np.uint64) << np.uint64(32)
        keys, counts = _add_counts(keys, counts, pair_keys | neighbour[is_overlapping].astype(np.uint64))
    document, container = (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    level = np.maximum(levels_D[document], levels_D[container])
    num_samples = num_samples_DL[document, level]
    is_tiny = (level == 0) & (num_samples < 2 * MIN_SAMPLES)
    is_strong = counts >= np.maximum(MIN_PAIR_SHARE * num_samples, np.where(is_tiny, 1, MIN_SAMPLES))
    document, container = document[is_strong], container[is_strong]
    share = (counts / num_samples)[is_strong]
    largest_D = np.zeros(len(levels_D))
    np.maximum.at(largest_D, document, share)
    # A sentence of a form must not join families that are whole without it.
    is_large = share >= MIN_RELATIVE_SHARE * largest_D[document]
    large_share_D, share_D = (np.bincount(document, each, len(levels_D)) for each in (share * is_large, share))
    is_whole = large_share_D[document] >= MIN_OVERLAP_SHARE
    has_enough = (share_D[document] >= MIN_OVERLAP_SHARE) & (is_large | ~is_whole)
    return document[has_enough], container[has_enough]


def _renumber_samples(samples_N: np.ndarray, is_kept_D: np.ndarray, kept_numbers_D: np.ndarray) -> np.ndarray:
    """Return the samples of kept documents with their numbers among the kept ones, each once, in their order."""
    owner_N = (samples_N & OWNER_MASK).astype(np.int64)
    is_kept_N = is_kept_D[owner_N]
    samples_N, owner_N = samples_N[is_kept_N], owner_N[is_kept_N]
    renumbered_N = (samples_N & ~OWNER_MASK) | kept_numbers_D[owner_N].astype(np.uint64)
    return renumbered_N[find_run_starts(renumbered_N)]


def _list_passages(samples_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return for each sample, in the order of passages, whether it is the first of its passage, how many documents hold
    the passage, its document, and its level.
    """
    hash_N = samples_N >> np.uint64(OWNER_BITS)
    is_first_N = find_run_starts(hash_N)
    sizes = np.diff(np.append(np.flatnonzero(is_first_N), len(hash_N)))
    owner_N = (samples_N & OWNER_MASK).astype(np.int64)
    return is_first_N, np.repeat(sizes, sizes), owner_N, (hash_N & np.uint64(LEVELS - 1)).astype(np.int64)


def _iter_shared(shared: SortedRuns) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the passages that several documents share, as `_list_passages` returns them, some millions at a time."""
    for range_RW in shared.iter_ranges():
        yield _list_passages(range_RW[:, 0])


def _add_by_level(counts_DL: np.ndarray, owner_N: np.ndarray, level_N: np.ndarray) -> None:
    np.add.at(counts_DL.reshape(-1), owner_N * LEVELS + level_N, np.int32(1))  # a Python 1 takes 25 times as long


def _sum_levels(counts_DL: np.ndarray) -> np.ndarray:
    """Return the counts of passages of each level or a higher one."""
    return np.cumsum(counts_DL[:, ::-1], axis=1)[:, ::-1]


def _link_equal(links_D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of documents with the same number; none for 0, and for a number that many documents have."""
    order = np.argsort(links_D, kind="stable")
    starts = np.flatnonzero(find_run_starts(links_D[order]))
    sizes = np.diff(np.append(starts, len(order)))
    is_linked = (links_D[order] != 0) & np.repeat(sizes <= MAX_PASSAGE_DOCUMENTS, sizes)
    is_linked[starts] = False
    indices = np.flatnonzero(is_linked)
    return order[indices], order[indices - 1]


def _add_counts(keys: np.ndarray, counts: np.ndarray, new_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys in order with their counts, after adding one for each new key."""
    all_keys = np.concatenate([keys, new_keys])
    order = np.argsort(all_keys, kind="stable")
    starts = np.flatnonzero(find_run_starts(all_keys[order]))
    all_counts = np.concatenate([counts, np.ones(len(new_keys), np.int64)])[order]
    return all_keys[order][starts], np.add.reduceat(all_counts, starts) if len(starts) else counts


def _find_connected_components(num_documents: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
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
