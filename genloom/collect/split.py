"""Assign documents to train, val or test by a hash of their content, with exact shares also in small collections."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from genloom.collect.options import Note
from genloom.collect.overlap import DuplicateGroups
from genloom.errors import GenloomError

SPLITS = ("train", "val", "test")
# Below these sizes the shares of a plain hash would often be far off, so that documents are ranked instead.
SMALL_DOCUMENTS, SMALL_BYTES = 4_096, 16 << 20
NEGLIGIBLE_SHARE = 1 / 10  # of what would be held out if no documents overlapped
MIN_DOCUMENTS = {"val": 3, "test": 8}  # in a collection with this many documents the split is never empty

# Parts of names of files and folders by which data sets tell their training data from their held-out data.
_TRAINING_NAME = re.compile(r"(?:^|/)train(?:ing)?(?:[-_.\d][^/]*)?(?=/|$)", re.IGNORECASE)
_HELD_OUT_NAME = re.compile(
    r"(?:^|/)(?:test(?:ing)?|val|valid(?:ation)?|dev|eval)(?:[-_.\d][^/]*)?(?=/|$)", re.IGNORECASE
)

SplitTotals = dict[str, dict[str, int]]  # split → numbers of its documents and bytes


@dataclass(frozen=True)
class SplitItem:
    """The properties of a document that decide its split; `number` is its row in the data set, from 0."""

    number: int
    digest: bytes
    size: int


@dataclass
class SplitGroup:
    """Documents that share a split, chosen by their lowest digest: one document, or several that overlap."""

    digest: bytes
    size: int = 0
    is_excluded: bool = False  # must not be held out


def note_own_splits(names: Iterable[str]) -> list[Note]:
    """Return a note if the names of files divide them into training and held-out data, which the split ignores."""
    names = list(names)
    held_out = [name for name in names if _HELD_OUT_NAME.search(name) and not _TRAINING_NAME.search(name)]
    if not held_out or not any(map(_TRAINING_NAME.search, names)):
        return []
    error = GenloomError("collect.own_splits", count=len(held_out))
    return [Note.from_error(held_out[0], error, is_skipped=False)]


def hash_to_unit(digest: bytes, seed: int) -> float:
    """Return a number in [0, 1) that depends on the document's SHA-256 and the seed."""
    mixed_hash = hashlib.blake2b(digest, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(mixed_hash, "little") / 2**64


def split_by_hash(position: float, val: float, test: float) -> str:
    """Return the split of one document of a large collection."""
    return "val" if position < val else "test" if position < val + test else "train"


def split_by_group(
    items: Sequence[SplitItem],
    duplicate_groups: DuplicateGroups,
    choose_splits: Callable[[list[SplitGroup]], list[str]],
) -> list[str]:
    """Return the split of each document, which is that of its group; `choose_splits` chooses those of the groups."""
    groups: dict[int, SplitGroup] = {}
    for item in items:
        group = groups.setdefault(int(duplicate_groups.group_ids_D[item.number]), SplitGroup(item.digest))
        group.digest = min(group.digest, item.digest)
        group.size += item.size
        group.is_excluded |= bool(duplicate_groups.excluded_D[item.number])
    splits = dict(zip(groups, choose_splits(list(groups.values())), strict=True))
    return [splits[int(duplicate_groups.group_ids_D[item.number])] for item in items]


def has_enough_held_out(
    ungrouped_totals: SplitTotals, grouped_totals: SplitTotals, min_share: float = NEGLIGIBLE_SHARE
) -> bool:
    """Tell whether val and test keep `min_share` of their bytes when overlapping documents share a split."""
    return all(
        grouped_totals[split]["bytes"] >= min_share * ungrouped_totals[split]["bytes"] for split in ("val", "test")
    )


def sum_splits(sizes: Sequence[int], splits: Sequence[str]) -> SplitTotals:
    """Return the numbers of documents and bytes of each split."""
    totals = {split: {"documents": 0, "bytes": 0} for split in SPLITS}
    for size, split in zip(sizes, splits, strict=True):
        totals[split]["documents"] += 1
        totals[split]["bytes"] += size
    return totals


def split_by_rank(
    positions: Sequence[float], sizes: Sequence[int], val: float, test: float, excluded: Sequence[bool] = ()
) -> list[str]:
    """Return the splits of all documents of a small collection, or of all groups; those `excluded` are in train.

    In the order of their positions, documents go to val as long as that brings it nearer to its share of the bytes,
    then to test, and the rest to train; a document too large for a share is skipped. Val has at least one document if
    there are 3, test if there are 8 (the smallest, if none fits).
    """
    eligible_indices = [i for i in range(len(positions)) if not (excluded and excluded[i])]
    candidates = sorted(eligible_indices, key=lambda i: (positions[i], i))
    splits = ["train"] * len(positions)
    for name, share in (("val", val), ("test", test)):
        if not share:
            continue
        indices = _first_fit(candidates, sizes, share * sum(sizes))
        if not indices and candidates and len(positions) >= MIN_DOCUMENTS[name]:
            indices = [min(candidates, key=lambda i: (sizes[i], positions[i]))]
        for i in indices:
            splits[i] = name
        index_set = set(indices)
        candidates = [i for i in candidates if i not in index_set]
    return splits


def _first_fit(candidates: Sequence[int], sizes: Sequence[int], budget: float) -> list[int]:
    indices: list[int] = []
    bytes_used, max_count = 0, max(1, len(sizes) // 4)  # beside one giant document all others would fit
    for i in candidates:
        if bytes_used + sizes[i] / 2 <= budget and len(indices) < max_count:
            indices.append(i)
            bytes_used += sizes[i]
        elif indices:
            break
    return indices
