"""Documents and sketches set aside in files until it is known which documents are kept.

The files are Arrow streams: nothing in them is code, and they are read one batch at a time.
"""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.collect.duplicates import Sketches
from genloom.collect.kept_columns import count_bytes
from genloom.collect.preparation import Document

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

MAX_BYTES_IN_MEMORY = 4 << 20  # of documents
_BYTES, _ARRAY = "$bytes", "$array"  # the keys of values that JSON does not have
_SKETCH_TYPES = {
    "keys_BK": np.uint64,
    "signatures_BP": np.uint8,
    "samples_N": np.uint64,
    "owners_N": np.int64,
    "levels_B": np.uint8,
    "links_B": np.uint64,
    "prompt_links_B": np.uint64,
}


class DocumentSpool:
    """Documents in the order of adding; a few megabytes are in memory, the rest in files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: list[Path] = []
        self._buffer: list[Document] = []
        self._buffer_bytes = 0
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def add(self, documents: Sequence[Document]) -> None:
        """Add documents after those that are there."""
        for document in documents:
            self._buffer.append(document)
            self._buffer_bytes += document.size + count_bytes(document.kept_values)
            if self._buffer_bytes >= MAX_BYTES_IN_MEMORY:
                self._write_buffer()

    def add_file(self, path: Path) -> None:
        """Add the documents of a file of `SpoolWriter` after those that are there."""
        self._close_file()
        self._paths.append(path)

    def __iter__(self) -> Iterator[list[Document]]:
        """Yield the documents in lists, in the order of adding."""
        if self._paths:
            self._close_file()
        for path in self._paths:
            yield from read_documents(path)
        if self._buffer:
            yield self._buffer

    def _close_file(self) -> None:
        self._write_buffer()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_buffer(self) -> None:
        import pyarrow as pa

        if self._buffer:
            batch = _pack_documents(self._buffer)
            if self._writer is None:
                self._paths.append(self._folder / f"documents-{len(self._paths)}")
                self._writer = pa.ipc.new_stream(str(self._paths[-1]), batch.schema, options=_get_options())
            self._writer.write_batch(batch)
            del batch
            pa.default_memory_pool().release_unused()  # which Arrow keeps otherwise, some megabytes
        self._buffer, self._buffer_bytes = [], 0


@contextmanager
def open_spool_files(documents_path: Path, sketches_path: Path) -> Generator["SpoolWriter"]:
    """Open the files of a part of a collection for `SpoolWriter.write`."""
    writer = SpoolWriter(documents_path, sketches_path)
    try:
        yield writer
    finally:
        writer.close()


class SpoolWriter:
    """Writer of batches of documents, and of their sketches, to two files."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._writers: list[pa.ipc.RecordBatchStreamWriter] = []

    def write(self, documents: Sequence[Document], sketches: Sketches) -> None:
        """Write a batch that is not empty."""
        import pyarrow as pa

        batches = (_pack_documents(documents), _pack_sketches(sketches))
        if not self._writers:
            self._writers = [
                pa.ipc.new_stream(str(path), batch.schema, options=_get_options())
                for path, batch in zip(self._paths, batches, strict=True)
            ]
        for writer, batch in zip(self._writers, batches, strict=True):
            writer.write_batch(batch)

    def close(self) -> None:
        """Close the files, which are made also without a batch."""
        for writer in self._writers:
            writer.close()
        if not self._writers:
            for path in self._paths:
                path.touch()


def read_documents(path: Path) -> Iterator[list[Document]]:
    """Yield the documents of a file, batch by batch."""
    return map(_unpack_documents, _read_stream(path))


def read_sketches(path: Path) -> Iterator[Sketches]:
    """Yield the sketches of a file, batch by batch."""
    return map(_unpack_sketches, _read_stream(path))


def _read_stream(path: Path) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    if path.stat().st_size:
        with (
            pa.OSFile(str(path)) as file,
            pa.ipc.open_stream(file, options=pa.ipc.IpcReadOptions(use_threads=False)) as reader,
        ):
            yield from reader


def _get_options() -> "pa.ipc.IpcWriteOptions":
    import pyarrow as pa

    return pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)  # each thread would keep memory


def _pack_documents(documents: Sequence[Document]) -> "pa.RecordBatch":
    import pyarrow as pa

    blobs: list[list[bytes]] = [[] for _ in documents]
    extras = [
        json.dumps(_to_json([d.columns, d.counter_values, d.review_reasons, d.kept_values], own_blobs))
        for d, own_blobs in zip(documents, blobs, strict=True)
    ]
    return pa.record_batch(
        {
            "text": pa.array([d.text for d in documents], pa.large_string()),
            "digest": pa.array([d.digest for d in documents], pa.binary()),
            "source": pa.array([d.source for d in documents], pa.string()),
            "licence": pa.array([d.licence for d in documents], pa.string()),
            "size": pa.array([d.size for d in documents], pa.int64()),
            "extras": pa.array(extras, pa.large_string()),
            "blobs": pa.array(blobs, pa.list_(pa.large_binary())),
        }
    )


def _unpack_documents(batch: "pa.RecordBatch") -> list[Document]:
    names = ("text", "digest", "source", "licence", "size", "extras", "blobs")
    documents = []
    for text, digest, source, licence, size, extras, blobs in zip(
        *(batch[name].to_pylist() for name in names), strict=True
    ):
        values = json.loads(extras)
        columns, counter_values, reasons, kept_values = _from_json(values, blobs) if blobs else values
        document = Document(text, digest, source, licence, size, columns, counter_values, tuple(reasons), kept_values)
        documents.append(document)
    return documents


def _to_json(value: Any, blobs: list[bytes]) -> Any:
    """Return a value as JSON has it; bytes and arrays are added to `blobs`."""
    match value:
        case bytes():
            blobs.append(value)
            return {_BYTES: len(blobs) - 1}
        case np.ndarray():
            blobs.append(value.tobytes())
            return {_ARRAY: len(blobs) - 1, "dtype": value.dtype.str, "shape": value.shape}
        case np.generic():
            return value.item()
        case Mapping():
            return {str(name): _to_json(each, blobs) for name, each in value.items()}
        case list() | tuple():
            return [_to_json(each, blobs) for each in value]
    return value


def _from_json(value: Any, blobs: Sequence[bytes]) -> Any:
    match value:
        case {"$bytes": number}:
            return blobs[number]
        case {"$array": number, "dtype": dtype, "shape": shape}:
            return np.frombuffer(blobs[number], dtype).reshape(shape)
        case dict():
            return {name: _from_json(each, blobs) for name, each in value.items()}
        case list():
            return [_from_json(each, blobs) for each in value]
    return value


def _pack_sketches(sketches: Sketches) -> "pa.RecordBatch":
    """Return a batch of one row, with a list for each array."""
    import pyarrow as pa

    columns = {name: _wrap_list(getattr(sketches, name), kind) for name, kind in _SKETCH_TYPES.items()}
    return pa.record_batch({**columns, "count": pa.array([len(sketches.keys_BK)], pa.int64())})


def _wrap_list(values: np.ndarray, kind: type) -> "pa.Array":
    import pyarrow as pa

    flat = np.ascontiguousarray(values, kind).reshape(-1)
    return pa.LargeListArray.from_arrays(pa.array([0, len(flat)], pa.int64()), pa.array(flat))


def _unpack_sketches(batch: "pa.RecordBatch") -> Sketches:
    count = batch["count"][0].as_py()
    arrays = {name: batch[name].values.to_numpy(zero_copy_only=False) for name in _SKETCH_TYPES}
    shaped = {name: arrays[name].reshape(count, -1) for name in ("keys_BK", "signatures_BP")}
    return Sketches(**{**arrays, **shaped})
