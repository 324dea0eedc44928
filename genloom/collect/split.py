"""Places documents in train, val or test by a hash of their text, the shares right also in a small collection."""

import hashlib
from collections.abc import Sequence

SPLITS = ("train", "val", "test")
# Below these the shares of a plain hash would often come out badly, so the borders are set to what is there.
SMALL_DOCUMENTS, SMALL_BYTES = 4_096, 16 << 20
NEEDED = {"val": 3, "test": 8}  # documents from which on a split is never empty


def place(digest: bytes, seed: int) -> float:
    """A number in [0, 1) fixed by the text (its SHA-256) and the seed."""
    mixed = hashlib.blake2b(digest, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(mixed, "little") / 2**64


def by_border(place: float, val: float, test: float) -> str:
    """The split of one document in a large collection."""
    return "val" if place < val else "test" if place < val + test else "train"


def by_rank(places: Sequence[float], sizes: Sequence[int], val: float, test: float) -> list[str]:
    """The splits of all documents of a small collection.

    In the order of their places documents go to val while that brings it nearer to its share of the bytes, then to
    test, and the rest to train; a document too large for a share is passed over. Val has at least one document if
    there are 3, test if there are 8 (the smallest, where none fits).
    """
    waiting = sorted(range(len(places)), key=lambda i: (places[i], i))
    splits = ["train"] * len(places)
    for name, share in (("val", val), ("test", test)):
        if not share:
            continue
        chosen = _first_fit(waiting, sizes, share * sum(sizes))
        if not chosen and len(places) >= NEEDED[name]:
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
