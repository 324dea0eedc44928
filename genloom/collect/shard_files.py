"""Files of one kind among the parts of a data set: row group by row group, a new one where one is large enough."""

from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from genloom.collect.preparation import Document, Preparation

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_BYTES = 8 << 20  # in a row group, which is what a reader holds in memory
SHARD_BYTES = 512 << 20  # in a file


def open_writer(path: Path, schema: "pa.Schema") -> "pq.ParquetWriter":
    """For one file. Texts are all different: a dictionary of them only costs."""
    import pyarrow.parquet as pq

    dictionary_columns = ["licence", "split"]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=dictionary_columns)


class ShardFiles:
    """The files `name`-00000.parquet and on in `folder`; `paths`, and the `numbers` of their documents, in order."""

    def __init__(self, folder: Path, name: str, preparation: Preparation) -> None:
        self._folder = folder
        self._scrub_name = name
        self._preparation = preparation
        self._entry_point_group: list[tuple[Document, str]] = []
        self._group_bytes = self._shard_bytes = 0
        self._get_winning_model: pq.ParquetWriter | None = None
        self.paths: list[Path] = []
        self.document_numbers = array("Q")

    def add(self, document: Document, split: str, number: int) -> None:
        """Takes a document in; it is on disk after `close`."""
        self._entry_point_group.append((document, split))
        self._group_bytes += document.size
        self.document_numbers.append(number)
        if self._group_bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def close(self, should_flush: bool) -> None:
        """Closes the last file; `whole`, after what is left has been written."""
        if should_flush:
            self._write_group()
        if self._get_winning_model:
            self._get_winning_model.close()
            self._get_winning_model, self._shard_bytes = None, 0

    def _write_group(self) -> None:
        import pyarrow as pa

        if not self._entry_point_group:
            return
        documents = [document for document, _ in self._entry_point_group]
        batch = pa.record_batch(
            {
                "id": pa.array([d.digest.hex() for d in documents], pa.string()),
                "text": pa.array([d.text for d in documents], pa.string()),
                "source": pa.array([d.source for d in documents], pa.string()),
                "licence": pa.array([d.licence for d in documents], pa.string()),
                "split": pa.array([split for _, split in self._entry_point_group], pa.string()),
                "bytes": pa.array([d.size for d in documents], pa.int64()),
                **self._preparation.build_columns(documents),
            }
        )
        if self._get_winning_model is None:
            self.paths.append(self._folder / f"{self._scrub_name}-{len(self.paths):05}.parquet")
            self._get_winning_model = open_writer(self.paths[-1], batch.schema)
        self._get_winning_model.write_batch(batch)
        self._shard_bytes += self._group_bytes
        self._entry_point_group, self._group_bytes = [], 0
        if self._shard_bytes >= SHARD_BYTES:
            self.close(should_flush=False)
