"""Places documents in train, val or test by a hash of their text, the shares right also in a small collection."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genloom.collect.overlap import Kinship

SPLITS = ("train", "val", "test")
# Below these the shares of a plain hash would often come out badly, so the borders are set to what is there.
SMALL_DOCUMENTS, SMALL_BYTES = 4_096, 16 << 20
AS_GOOD_AS_NOTHING = 1 / 10  # of what is held back where no document is like another
NEEDED = {"val": 3, "test": 8}  # documents from which on a split is never empty

Sums = dict[str, dict[str, int]]  # split → its documents and bytes


@dataclass(frozen=True)
class Row:
    """A document as far as its placing goes; `number` is its row in the data set, from 0."""

    number: int
    digest: bytes
    size: int


@dataclass
class Group:
    """Documents that are placed as one, by the lowest digest among theirs: a document alone, or several alike."""

    digest: bytes
    size: int = 0
    barred: bool = False  # from being held back


def place(digest: bytes, seed: int) -> float:
    """A number in [0, 1) fixed by the text (its SHA-256) and the seed."""
    mixed = hashlib.blake2b(digest, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(mixed, "little") / 2**64


def by_border(place: float, val: float, test: float) -> str:
    """The split of one document in a large collection."""
    return "val" if place < val else "test" if place < val + test else "train"


def together(rows: Sequence[Row], kinship: Kinship, choose: Callable[[list[Group]], list[str]]) -> list[str]:
    """The splits of documents, each that of its group, which `choose` chooses."""
    groups: dict[int, Group] = {}
    for row in rows:
        group = groups.setdefault(int(kinship.groups_D[row.number]), Group(row.digest))
        group.digest = min(group.digest, row.digest)
        group.size += row.size
        group.barred |= bool(kinship.barred_D[row.number])
    splits = dict(zip(groups, choose(list(groups.values())), strict=True))
    return [splits[int(kinship.groups_D[row.number])] for row in rows]


def enough(alone: Sums, united: Sums, least: float = AS_GOOD_AS_NOTHING) -> bool:
    """Whether that part is held back still, when documents that are alike are placed together."""
    return all(united[split]["bytes"] >= least * alone[split]["bytes"] for split in ("val", "test"))


def sums(sizes: Sequence[int], splits: Sequence[str]) -> Sums:
    """What the splits hold."""
    found = {split: {"documents": 0, "bytes": 0} for split in SPLITS}
    for size, split in zip(sizes, splits, strict=True):
        found[split]["documents"] += 1
        found[split]["bytes"] += size
    return found


def by_rank(
    places: Sequence[float], sizes: Sequence[int], val: float, test: float, barred: Sequence[bool] = ()
) -> list[str]:
    """The splits of all documents of a small collection, or of all groups of them; those `barred` are in train.

    In the order of their places documents go to val while that brings it nearer to its share of the bytes, then to
    test, and the rest to train; a document too large for a share is passed over. Val has at least one document if
    there are 3, test if there are 8 (the smallest, where none fits).
    """
    free = [i for i in range(len(places)) if not (barred and barred[i])]
    waiting = sorted(free, key=lambda i: (places[i], i))
    splits = ["train"] * len(places)
    for name, share in (("val", val), ("test", test)):
        if not share:
            continue
        chosen = _first_fit(waiting, sizes, share * sum(sizes))
        if not chosen and waiting and len(places) >= NEEDED[name]:
            chosen = [min(waiting, key=lambda i: (sizes[i], places[i]))]
        for i in chosen:
            splits[i] = name
        gone = set(chosen)
        waiting = [i for i in waiting if i not in gone]
    return splits


def _first_fit(waiting: Sequence[int], sizes: Sequence[int], room: float) -> list[int]:
    chosen: list[int] = []
    taken, most = 0, max(1, len(sizes) // 4)  # beside one giant document all the others would fit
    for i in waiting:
        if taken + sizes[i] / 2 <= room and len(chosen) < most:
            chosen.append(i)
            taken += sizes[i]
        elif chosen:
            break
    return chosen
