"""An external sort: records on disk in sorted runs, read back in the order of their keys, some millions at a time.

R records, W columns, K key ranges.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

MAX_RECORDS = 1 << 20  # in memory: of a run while it is collected, and of the ranges that are read together
RANGE_BITS = 12  # of a key; a run knows where each of its 4,096 key ranges begins


class SortedRuns:
    """Records of W uint64 numbers, the first of which is their key, in the file `name` of `folder`.

    Few records stay in memory, and the file is not made. `key_bits` is the length of the longest key. Records with one
    key keep the order in which they were added.
    """

    def __init__(self, folder: Path, name: str, width: int = 1, key_bits: int = 64) -> None:
        self._path = folder / name
        self._width = width
        self._shift = np.uint64(max(key_bits - RANGE_BITS, 0))
        self._buffer: list[np.ndarray] = []
        self._num_buffered = 0
        self._runs: list[tuple[int, np.ndarray]] = []  # the first record of each run, and the ends of its ranges, K + 1
        self._ends_K = np.zeros((1 << RANGE_BITS) + 1, np.int64)  # the same over all runs
        self._num_written = 0

    def __len__(self) -> int:
        return self._num_written + self._num_buffered

    def add(self, records_RW: np.ndarray) -> None:
        """Add records, which may be an array of R keys if they have one column."""
        self._buffer.append(np.asarray(records_RW, np.uint64).reshape(-1, self._width))
        self._num_buffered += len(self._buffer[-1])
        if self._num_buffered >= MAX_RECORDS:
            self._write_run()

    def iter_ranges(self) -> Iterator[np.ndarray]:
        """Yield the records in the order of their keys; all records of a key are in one array [R, W]."""
        if not self._runs:
            if self._num_buffered:
                yield self._sort_buffer()
            return
        if self._num_buffered:
            self._write_run()
        ends_K, begin = self._ends_K, 0
        with self._path.open("rb") as file:
            while begin < len(ends_K) - 1:
                # As many ranges as fit, at least one.
                end = max(int(np.searchsorted(ends_K, ends_K[begin] + MAX_RECORDS, side="right")) - 1, begin + 1)
                parts = [self._read_ranges(file, first, ends, begin, end) for first, ends in self._runs]
                if records := [part for part in parts if len(part)]:
                    yield sort_records(np.concatenate(records))
                begin = end

    def _sort_buffer(self) -> np.ndarray:
        self._buffer = [sort_records(np.concatenate(self._buffer))]
        return self._buffer[0]

    def _write_run(self) -> None:
        records_RW = self._sort_buffer()
        numbers_K = np.arange(1, 1 << RANGE_BITS, dtype=np.uint64) << self._shift
        ends_K = np.searchsorted(records_RW[:, 0], numbers_K)
        ends_K = np.concatenate([[0], ends_K, [len(records_RW)]])
        self._runs.append((self._num_written, ends_K.astype(np.int32)))
        self._ends_K += ends_K
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(records_RW).data)
        self._num_written += len(records_RW)
        self._buffer, self._num_buffered = [], 0

    def _read_ranges(self, file: BinaryIO, first: int, ends_K: np.ndarray, begin: int, end: int) -> np.ndarray:
        """Return the records of the ranges `begin` to `end` of the run that begins at the record `first`."""
        file.seek((first + int(ends_K[begin])) * self._width * 8)
        data = file.read(int(ends_K[end] - ends_K[begin]) * self._width * 8)
        return np.frombuffer(data, np.uint64).reshape(-1, self._width)


def sort_records(records_RW: np.ndarray) -> np.ndarray:
    """Return the records in the order of their keys; those of one key keep their order."""
    if records_RW.shape[1] == 1:
        return np.sort(records_RW, axis=0)
    return records_RW[np.argsort(records_RW[:, 0], kind="stable")]


def find_run_starts(sorted_N: np.ndarray) -> np.ndarray:
    """Tell which elements differ from the previous one. (np.unique hashes first, and takes ten times as long.)"""
    return np.concatenate([np.ones(min(1, len(sorted_N)), bool), sorted_N[1:] != sorted_N[:-1]])
