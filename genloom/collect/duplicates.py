"""Find exact copies and near-duplicates among any number of documents, with little memory for each.

The keys of all documents are sorted on disk. Most keys belong to one document; only documents that share a key with
others are compared, in their order, by their signatures.

D documents, G groups of documents that share a key, C = 3 documents of a group that further ones are compared with.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genloom.collect.sorted_runs import SortedRuns, find_run_starts
from genloom.store import files

HASH_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
VERDICTS = ("", "exact copy", "near-duplicate")  # by number; "": the document is kept
KEPT, EXACT_COPY, NEAR_DUPLICATE = range(3)
CANDIDATES_PER_KEY = 3  # C


@dataclass(frozen=True)
class Sketches:
    """Sketches of B documents, by which they are compared.

    `keys_BK`: uint64; the first key of a row identifies the exact document, similar documents share some of the others.
    `signatures_BP`: uint8; the similarity of two documents follows from their signatures.
    `samples_N`: uint64, samples of the passages of all documents: a hash of 32 bits, then 2 bits for the level of the
    passage, which is at least l for 1 in 2^l of all passages. `owners_N` holds the row of each sample's document, and
    `levels_B` (uint8) the lowest level of which a document has all passages. Empty if documents are compared whole.
    `links_B`: uint64; documents with the same number belong in one split, unless it is 0. Empty if there are none.
    `prompt_links_B`: the same for the prompts that conversations begin with.
    """

    keys_BK: np.ndarray
    signatures_BP: np.ndarray
    samples_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    owners_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    levels_B: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    links_B: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    prompt_links_B: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))


SimilarityFn = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of a signature [P] with signatures [N, P]


class DuplicateFinder:
    """The sketches of documents, numbered as they are added; `find_duplicates` compares all of them.

    `folder` holds the keys and signatures while the collection runs, about 0.5 KB per document.
    """

    def __init__(self, folder: Path, threshold: float, similarity: SimilarityFn) -> None:
        self._folder = folder
        self._threshold = threshold
        self._similarity = similarity
        self._keys = SortedRuns(folder, "keys", width=2)
        self._signatures = _SignatureFile(folder / "signatures")
        self.num_documents = 0

    def add(self, sketches: Sketches) -> None:
        """Add the documents of a batch."""
        count, width = sketches.keys_BK.shape
        if count == 0:
            return
        numbers = np.repeat(np.arange(self.num_documents, self.num_documents + count, dtype=np.uint64), width)
        self._keys.add(np.stack([sketches.keys_BK.reshape(-1), numbers], axis=1))
        self._signatures.add(sketches.keys_BK[:, 0], sketches.signatures_BP)
        self.num_documents += count

    def find_duplicates(self) -> np.ndarray:
        """Return the verdict on each document, D (uint8): KEPT, EXACT_COPY or NEAR_DUPLICATE.

        For each of its keys, a document is compared with the first two kept documents that have it, and with the last:
        the first alone may be less like it than a later one is, as is a brighter copy of a picture.
        """
        verdicts_D = np.zeros(self.num_documents, np.uint8)
        shared, num_groups = self._group_by_key()
        if not num_groups:
            return verdicts_D
        # 1 + the number of the document; 0: none yet
        kept_GC = allocate_array(self._folder / "groups", num_groups * CANDIDATES_PER_KEY)
        kept_GC = kept_GC.reshape(num_groups, CANDIDATES_PER_KEY)
        for records_RW in shared.iter_ranges():
            starts = np.flatnonzero(find_run_starts(records_RW[:, 0]))
            groups = records_RW[:, 1].astype(np.int64)
            numbers = records_RW[starts, 0].astype(np.int64).tolist()
            for number, begin, end in zip(numbers, starts, [*starts[1:], len(groups)], strict=True):
                own_groups = groups[begin:end]
                kept = kept_GC[own_groups]
                candidates = np.unique(kept[kept > 0]) - 1
                verdict = self._judge(number, candidates) if len(candidates) else KEPT
                verdicts_D[number] = verdict
                if verdict == KEPT:
                    places = np.minimum((kept > 0).sum(axis=1), CANDIDATES_PER_KEY - 1)
                    kept_GC[own_groups, places] = number + 1
        return verdicts_D

    def _group_by_key(self) -> tuple[SortedRuns, int]:
        """Return pairs of a document and the group of a key that it shares with others, and the number of groups."""
        shared = SortedRuns(self._folder, "shared", width=2, key_bits=max(self.num_documents - 1, 1).bit_length())
        num_groups = 0
        for records_RW in self._keys.iter_ranges():
            starts = np.flatnonzero(find_run_starts(records_RW[:, 0]))
            sizes = np.diff(np.append(starts, len(records_RW)))
            is_shared = sizes > 1
            groups = np.repeat(num_groups + np.cumsum(is_shared) - 1, sizes)
            is_shared_R = np.repeat(is_shared, sizes)
            shared.add(np.stack([records_RW[is_shared_R, 1], groups[is_shared_R].astype(np.uint64)], axis=1))
            num_groups += int(is_shared.sum())
        return shared, num_groups

    def _judge(self, number: int, candidates: np.ndarray) -> int:
        (exact_key,), (signature_P,) = self._signatures.read([number])
        exact_keys, signatures_NP = self._signatures.read(candidates.tolist())
        if (exact_keys == exact_key).any():
            return EXACT_COPY
        if not len(signature_P) or not self._threshold:
            return KEPT
        is_near = self._similarity(signature_P, signatures_NP).max() >= self._threshold
        return NEAR_DUPLICATE if is_near else KEPT


class _SignatureFile:
    """The exact key and the signature of each document, in a file that is read where it is needed.

    (Memory that is mapped would count as memory of the process.)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._row_bytes = 0
        self._descriptor = -1

    def add(self, exact_keys_B: np.ndarray, signatures_BP: np.ndarray) -> None:
        key_bytes = np.ascontiguousarray(exact_keys_B, np.uint64).view(np.uint8).reshape(-1, 8)
        rows = np.concatenate([key_bytes, signatures_BP], axis=1)
        self._row_bytes = rows.shape[1]
        with self._path.open("ab") as file:
            file.write(rows.tobytes())

    def read(self, numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the exact keys and the signatures of some documents."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDONLY)
        data = b"".join(os.pread(self._descriptor, self._row_bytes, number * self._row_bytes) for number in numbers)
        rows = np.frombuffer(data, np.uint8).reshape(len(numbers), self._row_bytes)
        return np.ascontiguousarray(rows[:, :8]).view(np.uint64)[:, 0], rows[:, 8:]

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def allocate_array(path: Path, size: int) -> np.ndarray:
    """Return an array of zeros (uint32) in an unlinked file, which vanishes with it. Raises OSError on a full disk."""
    files.reserve_space(path, size * 4)
    array = np.memmap(path, dtype=np.uint32, mode="r+", shape=(size,)).view(np.ndarray)
    path.unlink()
    return array
