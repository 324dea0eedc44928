"""Finds exact copies and near-duplicates among documents as they stream by, with little memory for each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genloom.store import files

FULL = 0.6  # of the table, before it doubles
SPREAD = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True)
class Sketches:
    """What documents are compared by, B of them.

    `keys_BK`: uint64, the first of each row from the exact document, the others shared by documents that may be alike.
    `marks_BP`: uint8, what says how alike two documents are.
    `samples_N`: uint32, a fixed share of the passages of all documents, the same passages of each; `owners_N` has the
    row of the document that each is from. None where documents are not compared in part.
    """

    keys_BK: np.ndarray
    marks_BP: np.ndarray
    samples_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))
    owners_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


Similarity = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of a mark [P] with marks [N, P]


class KeyTable:
    """A hash table from uint64 keys to uint32 document numbers, first come first kept, in files that may be paged out.

    Open addressing with linear probing, many keys at a time; 12 bytes a slot.
    """

    def __init__(self, folder: Path, bits: int = 16) -> None:
        self._folder = folder
        self._used = 0
        self._make(bits)

    def _make(self, bits: int) -> None:
        self._bits = bits
        self._keys = _array(self._folder / f"keys-{bits}", 1 << bits, np.uint64)
        self._numbers = _array(self._folder / f"numbers-{bits}", 1 << bits, np.uint32)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The number stored for each key, -1 where there is none."""
        keys = np.maximum(keys, 1)  # 0 marks an empty slot
        numbers = np.full(len(keys), -1, np.int64)
        todo, slots = np.arange(len(keys)), self._slots(keys)
        while len(todo):
            held = self._keys[slots]
            same = held == keys[todo]
            numbers[todo[same]] = self._numbers[slots[same]]
            onwards = ~same & (held != 0)
            todo, slots = todo[onwards], (slots[onwards] + 1) & ((1 << self._bits) - 1)
        return numbers

    def add(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        """Stores numbers for those keys that have none yet."""
        if self._used + len(keys) > FULL * (1 << self._bits):
            self._grow(self._used + len(keys))
        self._put(np.maximum(keys, 1), numbers)

    def _put(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        keys, first = np.unique(keys, return_index=True)
        numbers = numbers[first]
        todo, slots = np.arange(len(keys)), self._slots(keys)
        while len(todo):
            empty = self._keys[slots] == 0
            self._keys[slots[empty]] = keys[todo[empty]]  # of several keys for a slot the last one gets it
            won = empty & (self._keys[slots] == keys[todo])
            self._numbers[slots[won]] = numbers[todo[won]]
            self._used += int(won.sum())
            onwards = ~won & (self._keys[slots] != keys[todo])
            todo, slots = todo[onwards], (slots[onwards] + 1) & ((1 << self._bits) - 1)

    def _grow(self, wanted: int) -> None:
        old_keys, old_numbers = self._keys, self._numbers
        self._make(max(self._bits + 1, int(np.ceil(np.log2(wanted / FULL)))))
        self._used = 0
        for start in range(0, len(old_keys), 1 << 20):
            keys = np.asarray(old_keys[start : start + (1 << 20)])
            filled = keys != 0
            self._put(keys[filled], np.asarray(old_numbers[start : start + (1 << 20)])[filled])

    def _slots(self, keys: np.ndarray) -> np.ndarray:
        return ((keys * SPREAD) >> np.uint64(64 - self._bits)).astype(np.int64)


class Duplicates:
    """What was kept so far; `judge` says of each new document whether it is a copy or a near-duplicate of one of those.

    `folder` holds the tables while the collection runs; about 0.5 KB a document.
    """

    def __init__(self, folder: Path, threshold: float, similarity: Similarity) -> None:
        self._table = KeyTable(folder)
        self._similarity = similarity
        self._threshold = threshold
        self._folder = folder
        self._exact = _array(folder / "exact-0", 4096, np.uint64)
        self._marks: np.ndarray | None = None
        self._kept = 0

    def judge(self, sketches: Sketches) -> list[str]:
        """For each document in turn "" (kept, and remembered), "exact copy" or "near-duplicate"."""
        count, width = sketches.keys_BK.shape
        if count == 0:
            return []
        self._reserve(self._kept + count, sketches.marks_BP.shape[1])
        met_BK = self._table.find(sketches.keys_BK.reshape(-1)).reshape(count, width)
        fresh: dict[int, int] = {}  # keys of documents kept in this very batch
        verdicts, rows = [], []
        for row in range(count):
            keys = sketches.keys_BK[row].tolist()
            met = {number for number in met_BK[row].tolist() if number >= 0} | {fresh[k] for k in keys if k in fresh}
            verdict = self._verdict(keys[0], sketches.marks_BP[row], np.array(sorted(met), np.int64))
            verdicts.append(verdict)
            if not verdict:
                number = self._kept
                self._exact[number] = keys[0]
                if self._marks is not None:
                    self._marks[number] = sketches.marks_BP[row]
                for key in keys:
                    fresh.setdefault(key, number)
                rows.append(row)
                self._kept += 1
        if rows:
            numbers = np.repeat(np.arange(self._kept - len(rows), self._kept, dtype=np.uint32), width)
            self._table.add(sketches.keys_BK[rows].reshape(-1), numbers)
        return verdicts

    def _verdict(self, exact: int, mark_P: np.ndarray, met: np.ndarray) -> str:
        if not len(met):
            return ""
        if (self._exact[met] == exact).any():
            return "exact copy"
        if self._marks is None or not self._threshold:
            return ""
        return "near-duplicate" if self._similarity(mark_P, self._marks[met]).max() >= self._threshold else ""

    def _reserve(self, wanted: int, permutations: int) -> None:
        if permutations and self._marks is None:
            self._marks = _array(self._folder / "marks-0", len(self._exact) * permutations, np.uint8)
            self._marks = self._marks.reshape(-1, permutations)
        if wanted <= len(self._exact):
            return
        capacity = 1 << int(np.ceil(np.log2(wanted)))
        self._exact = _grown(self._exact, self._folder / f"exact-{capacity}", capacity)
        if self._marks is not None:
            flat = _grown(self._marks.reshape(-1), self._folder / f"marks-{capacity}", capacity * permutations)
            self._marks = flat.reshape(-1, permutations)


def _grown(old: np.ndarray, path: Path, size: int) -> np.ndarray:
    new = _array(path, size, old.dtype)
    for start in range(0, len(old), 1 << 20):
        end = min(len(old), start + (1 << 20))
        new[start:end] = old[start:end]
    return new


def _array(path: Path, size: int, kind: npt.DTypeLike) -> np.ndarray:
    """An array of zeros in a file that is gone when the array is: it has no name any more. OSError on a full disk."""
    files.reserve(path, size * np.dtype(kind).itemsize)
    array = np.memmap(path, dtype=kind, mode="r+", shape=(size,)).view(np.ndarray)
    path.unlink()
    return array
