"""Long token streams in several files: written one after the other, and read as one array by memory maps.

A stream that was interrupted continues with the first shard that is missing.

N tokens of the stream.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genloom.store.files import hash_file, open_replacement, write_atomic

SHARD_TOKENS = 1 << 27  # of a file, at least; a document is never divided
RECORD_SUFFIX = ".shards"  # of the file that says which shards of an unfinished stream are complete


class ShardedTokens:
    """The tokens of several arrays, one after the other, which are read where they are needed.

    A slice is another such array; numbers in an array give an array of tokens.
    """

    def __init__(self, shards: Sequence[np.ndarray], begin: int = 0, end: int | None = None) -> None:
        self._shards = shards
        self._begin = begin
        self._end = int(self._ends[-1]) if end is None else end
        self.dtype = np.result_type(*(shard.dtype for shard in shards))

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(shard) for shard in self._shards])

    def __len__(self) -> int:
        return self._end - self._begin

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            begin, end, step = key.indices(len(self))
            assert step == 1, "a slice is contiguous"
            return ShardedTokens(self._shards, self._begin + begin, self._begin + max(begin, end))
        positions = np.asarray(key) + self._begin
        numbers = np.searchsorted(self._ends, positions, side="right")
        tokens = np.empty(positions.shape, self.dtype)
        for number in np.unique(numbers).tolist():
            is_inside = numbers == number
            first = int(self._ends[number]) - len(self._shards[number])
            tokens[is_inside] = self._shards[number][positions[is_inside] - first]
        return tokens

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        parts, first = [], 0
        for shard in self._shards:
            begin, end = max(self._begin - first, 0), min(self._end - first, len(shard))
            if begin < end:
                parts.append(shard[begin:end])
            first += len(shard)
        return np.concatenate([np.zeros(0, self.dtype), *parts]).astype(dtype or self.dtype)


Tokens = np.ndarray | ShardedTokens


def join_tokens(streams: Sequence[Tokens]) -> Tokens:
    """Return several streams as one."""
    shards = [
        shard for stream in streams for shard in (stream._shards if isinstance(stream, ShardedTokens) else [stream])
    ]
    return shards[0] if len(shards) == 1 else ShardedTokens(shards)


@dataclass
class ShardWriter:
    """Writer of a stream at `path` and of the shards beside it, with the record of those that are complete."""

    path: Path
    dtype: type
    shards: list[dict[str, Any]] = field(default_factory=list)

    @staticmethod
    def open(path: Path, dtype: type) -> "ShardWriter":
        """Return the writer of a stream, which may have complete shards already."""
        record_path = get_record_path(path)
        shards = json.loads(record_path.read_text()) if record_path.exists() else []
        complete = []
        for number, shard in enumerate(shards):
            shard_path = get_shard_path(path, number)
            if not shard_path.exists() or hash_file(shard_path) != shard["sha256"]:
                break
            complete.append(shard)
        return ShardWriter(path, dtype, complete)

    @property
    def num_documents(self) -> int:
        """The documents in complete shards."""
        return sum(shard["documents"] for shard in self.shards)

    @property
    def num_tokens(self) -> int:
        """The tokens in complete shards."""
        return sum(shard["tokens"] for shard in self.shards)

    def write(self, documents: Iterator[np.ndarray]) -> None:
        """Write the tokens of the documents that follow the complete shards; record each shard that others follow."""
        ids = next(documents, None)
        while ids is not None or not self.shards:
            num_tokens = num_documents = 0
            path = get_shard_path(self.path, len(self.shards))
            with open_replacement(path) as draft, open(draft, "wb") as file:
                while ids is not None and num_tokens < SHARD_TOKENS:
                    file.write(ids.astype(self.dtype).tobytes())
                    num_tokens, num_documents = num_tokens + len(ids), num_documents + 1
                    ids = next(documents, None)
            digest = hash_file(path) if ids is not None else ""
            self.shards.append({"documents": num_documents, "tokens": num_tokens, "sha256": digest})
            if ids is not None:
                write_atomic(get_record_path(self.path), json.dumps(self.shards))


def get_record_path(path: Path) -> Path:
    """Return the path of the record of the complete shards of a stream that is being written."""
    return path.with_suffix(RECORD_SUFFIX)


def get_shard_path(path: Path, number: int) -> Path:
    """Return the path of a shard of the stream at `path`, which is that of the first."""
    return path if number == 0 else path.with_name(f"{path.stem}-{number:05}{path.suffix}")


def list_shards(path: Path) -> list[Path]:
    """List the files of the stream at `path` that are there, in order."""
    paths = [path]
    while (following := get_shard_path(path, len(paths))).exists():
        paths.append(following)
    return paths
