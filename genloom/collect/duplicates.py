"""Find exact copies and near-duplicates in a stream of documents, with little memory for each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genloom.store import files

MAX_LOAD_FACTOR = 0.6  # of the hash table, before it doubles
HASH_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True)
class Sketches:
    """Sketches of B documents, by which they are compared.

    `keys_BK`: uint64; the first key of a row identifies the exact document, similar documents share some of the others.
    `signatures_BP`: uint8; the similarity of two documents follows from their signatures.
    `samples_N`: uint64, samples of the passages of all documents: a hash of 32 bits, then 2 bits for the level of the
    passage, which is at least l for 1 in 2^l of all passages. `owners_N` holds the row of each sample's document, and
    `levels_B` (uint8) the lowest level of which a document has all passages. Empty if documents are compared whole.
    `links_B`: uint64; documents with the same number belong in one split, unless it is 0. Empty if there are none.
    """

    keys_BK: np.ndarray
    signatures_BP: np.ndarray
    samples_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    owners_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    levels_B: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    links_B: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))


SimilarityFn = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of a signature [P] with signatures [N, P]


class KeyTable:
    """A hash table from uint64 keys to uint32 document numbers, in files that may be paged out.

    The first number of a key stays. Open addressing with linear probing, many keys at a time; 12 bytes a slot.
    """

    def __init__(self, folder: Path, bits: int = 16) -> None:
        self._folder = folder
        self._num_used = 0
        self._allocate(bits)

    def _allocate(self, bits: int) -> None:
        self._bits = bits
        self._keys = _allocate_array(self._folder / f"keys-{bits}", 1 << bits, np.uint64)
        self._numbers = _allocate_array(self._folder / f"numbers-{bits}", 1 << bits, np.uint32)

    def lookup(self, keys: np.ndarray) -> np.ndarray:
        """Return the number of each key, -1 for a key without one."""
        keys = np.maximum(keys, 1)  # 0 marks an empty slot
        numbers = np.full(len(keys), -1, np.int64)
        pending, slots = np.arange(len(keys)), self._compute_slots(keys)
        while len(pending):
            stored_keys = self._keys[slots]
            is_match = stored_keys == keys[pending]
            numbers[pending[is_match]] = self._numbers[slots[is_match]]
            is_unresolved = ~is_match & (stored_keys != 0)
            pending, slots = pending[is_unresolved], (slots[is_unresolved] + 1) & ((1 << self._bits) - 1)
        return numbers

    def add(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        """Store numbers for those keys that have none yet."""
        if self._num_used + len(keys) > MAX_LOAD_FACTOR * (1 << self._bits):
            self._grow(self._num_used + len(keys))
        self._insert(np.maximum(keys, 1), numbers)

    def _insert(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        keys, first_indices = np.unique(keys, return_index=True)
        numbers = numbers[first_indices]
        pending, slots = np.arange(len(keys)), self._compute_slots(keys)
        while len(pending):
            is_empty = self._keys[slots] == 0
            self._keys[slots[is_empty]] = keys[pending[is_empty]]  # of several keys for one slot the last one wins
            is_inserted = is_empty & (self._keys[slots] == keys[pending])
            self._numbers[slots[is_inserted]] = numbers[pending[is_inserted]]
            self._num_used += int(is_inserted.sum())
            is_unresolved = ~is_inserted & (self._keys[slots] != keys[pending])
            pending, slots = pending[is_unresolved], (slots[is_unresolved] + 1) & ((1 << self._bits) - 1)

    def _grow(self, min_keys: int) -> None:
        old_keys, old_numbers = self._keys, self._numbers
        self._allocate(max(self._bits + 1, int(np.ceil(np.log2(min_keys / MAX_LOAD_FACTOR)))))
        self._num_used = 0
        for start in range(0, len(old_keys), 1 << 20):
            keys = np.asarray(old_keys[start : start + (1 << 20)])
            is_filled = keys != 0
            self._insert(keys[is_filled], np.asarray(old_numbers[start : start + (1 << 20)])[is_filled])

    def _compute_slots(self, keys: np.ndarray) -> np.ndarray:
        return ((keys * HASH_MULTIPLIER) >> np.uint64(64 - self._bits)).astype(np.int64)


class DuplicateFilter:
    """The documents kept so far; `classify` decides whether a new one is an exact copy or a near-duplicate of one.

    `folder` holds the tables while the collection runs, about 0.5 KB per document.
    """

    def __init__(self, folder: Path, threshold: float, similarity: SimilarityFn) -> None:
        self._key_table = KeyTable(folder)
        self._similarity = similarity
        self._threshold = threshold
        self._folder = folder
        self._exact_keys = _allocate_array(folder / "exact-0", 4096, np.uint64)
        self._signatures: np.ndarray | None = None
        self._num_kept = 0

    def classify(self, sketches: Sketches) -> list[str]:
        """Return for each document "" (new, and now remembered), "exact copy" or "near-duplicate"."""
        count, width = sketches.keys_BK.shape
        if count == 0:
            return []
        self._reserve(self._num_kept + count, sketches.signatures_BP.shape[1])
        matches_BK = self._key_table.lookup(sketches.keys_BK.reshape(-1)).reshape(count, width)
        batch_keys: dict[int, int] = {}  # keys of documents kept in this batch
        verdicts, kept_rows = [], []
        for row in range(count):
            keys = sketches.keys_BK[row].tolist()
            candidates = {number for number in matches_BK[row].tolist() if number >= 0} | {
                batch_keys[k] for k in keys if k in batch_keys
            }
            verdict = self._classify_one(keys[0], sketches.signatures_BP[row], np.array(sorted(candidates), np.int64))
            verdicts.append(verdict)
            if not verdict:
                number = self._num_kept
                self._exact_keys[number] = keys[0]
                if self._signatures is not None:
                    self._signatures[number] = sketches.signatures_BP[row]
                for key in keys:
                    batch_keys.setdefault(key, number)
                kept_rows.append(row)
                self._num_kept += 1
        if kept_rows:
            numbers = np.repeat(np.arange(self._num_kept - len(kept_rows), self._num_kept, dtype=np.uint32), width)
            self._key_table.add(sketches.keys_BK[kept_rows].reshape(-1), numbers)
        return verdicts

    def _classify_one(self, exact_key: int, signature_P: np.ndarray, candidates: np.ndarray) -> str:
        if not len(candidates):
            return ""
        if (self._exact_keys[candidates] == exact_key).any():
            return "exact copy"
        if self._signatures is None or not self._threshold:
            return ""
        return (
            "near-duplicate"
            if self._similarity(signature_P, self._signatures[candidates]).max() >= self._threshold
            else ""
        )

    def _reserve(self, min_capacity: int, signature_size: int) -> None:
        if signature_size and self._signatures is None:
            self._signatures = _allocate_array(
                self._folder / "marks-0", len(self._exact_keys) * signature_size, np.uint8
            )
            self._signatures = self._signatures.reshape(-1, signature_size)
        if min_capacity <= len(self._exact_keys):
            return
        capacity = 1 << int(np.ceil(np.log2(min_capacity)))
        self._exact_keys = _grow_array(self._exact_keys, self._folder / f"exact-{capacity}", capacity)
        if self._signatures is not None:
            flat_signatures = _grow_array(
                self._signatures.reshape(-1), self._folder / f"marks-{capacity}", capacity * signature_size
            )
            self._signatures = flat_signatures.reshape(-1, signature_size)


def _grow_array(old_array: np.ndarray, path: Path, size: int) -> np.ndarray:
    new_array = _allocate_array(path, size, old_array.dtype)
    for start in range(0, len(old_array), 1 << 20):
        end = min(len(old_array), start + (1 << 20))
        new_array[start:end] = old_array[start:end]
    return new_array


def _allocate_array(path: Path, size: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Return an array of zeros in an unlinked file, which vanishes with the array. Raises OSError on a full disk."""
    files.reserve_space(path, size * np.dtype(dtype).itemsize)
    array = np.memmap(path, dtype=dtype, mode="r+", shape=(size,)).view(np.ndarray)
    path.unlink()
    return array
