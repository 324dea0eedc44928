"""A sequence of Parquet files of a data set, written row group by row group, each up to a maximal size."""

from array import array
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from genloom.collect.kept_columns import ColumnBuilder, count_bytes
from genloom.collect.preparation import Document, Preparation

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_BYTES = 8 << 20  # a reader holds one row group in memory
SHARD_BYTES = 512 << 20


def open_writer(path: Path, schema: "pa.Schema") -> "pq.ParquetWriter":
    """Open a writer for one file. Texts are all different, so that a dictionary of them would only cost."""
    import pyarrow.parquet as pq

    dictionary_columns = ["licence", "split"]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=dictionary_columns)


class ShardFiles:
    """The files `name`-00000.parquet and so on in `folder`: their `paths`, and their `document_numbers` in order.

    A thread compresses and writes a row group while the documents of the next one are read.
    """

    def __init__(self, folder: Path, name: str, preparation: Preparation, kept_columns: ColumnBuilder) -> None:
        self._folder = folder
        self._name = name
        self._preparation = preparation
        self._kept_columns = kept_columns
        self._row_group: list[tuple[Document, str]] = []
        self._group_bytes = self._shard_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(1)
        self._last_write: Future[None] | None = None
        self.paths: list[Path] = []
        self.document_numbers = array("Q")

    def add(self, document: Document, split: str, number: int) -> None:
        """Add a document; it is on disk after `close`."""
        self._row_group.append((document, split))
        self._group_bytes += document.size + count_bytes(document.kept_values)
        self.document_numbers.append(number)
        if self._group_bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def close(self, should_flush: bool) -> None:
        """Close the last file; with `should_flush`, write the buffered documents first."""
        if should_flush:
            self._write_group()
        self._wait_for_write()
        if self._writer:
            self._writer.close()
            self._writer, self._shard_bytes = None, 0

    def _write_group(self) -> None:
        import pyarrow as pa

        if not self._row_group:
            return
        documents = [document for document, _ in self._row_group]
        medium_columns = self._preparation.build_columns(documents)
        other_columns = self._kept_columns.build(
            [{**d.kept_values, **{k: v for k, v in d.columns.items() if k not in medium_columns}} for d in documents]
        )
        batch = pa.record_batch(
            {
                "id": pa.array([d.digest.hex() for d in documents], pa.string()),
                "text": pa.array([d.text for d in documents], pa.string()),
                "source": pa.array([d.source for d in documents], pa.string()),
                "licence": pa.array([d.licence for d in documents], pa.string()),
                "split": pa.array([split for _, split in self._row_group], pa.string()),
                "bytes": pa.array([d.size for d in documents], pa.int64()),
                **medium_columns,
                **other_columns,
            }
        )
        self._wait_for_write()
        if self._writer is None:
            self.paths.append(self._folder / f"{self._name}-{len(self.paths):05}.parquet")
            self._writer = open_writer(self.paths[-1], batch.schema)
        self._last_write = self._thread.submit(self._writer.write_batch, batch)
        self._shard_bytes += self._group_bytes
        self._row_group, self._group_bytes = [], 0
        if self._shard_bytes >= SHARD_BYTES:
            self.close(should_flush=False)

    def _wait_for_write(self) -> None:
        """Wait until the last row group is written; raise its error, if it has one."""
        write, self._last_write = self._last_write, None
        if write is not None:
            write.result()
