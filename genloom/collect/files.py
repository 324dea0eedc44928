"""Files of one kind among the parts of a data set: row group by row group, a new one where one is large enough."""

from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from genloom.collect.preparation import Document, Preparation

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa
    import pyarrow.parquet as pq

GROUP_BYTES = 8 << 20  # in a row group, which is what a reader holds in memory
PART_BYTES = 512 << 20  # in a file


def writer(path: Path, schema: "pa.Schema") -> "pq.ParquetWriter":
    """For one file. Texts are all different: a dictionary of them only costs."""
    import pyarrow.parquet as pq

    few = ["licence", "split"]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=few)


class Files:
    """The files `name`-00000.parquet and on in `folder`; `paths`, and the `numbers` of their documents, in order."""

    def __init__(self, folder: Path, name: str, preparation: Preparation) -> None:
        self._folder = folder
        self._name = name
        self._preparation = preparation
        self._group: list[tuple[Document, str]] = []
        self._group_bytes = self._part_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self.paths: list[Path] = []
        self.numbers = array("Q")

    def add(self, document: Document, split: str, number: int) -> None:
        """Takes a document in; it is on disk after `close`."""
        self._group.append((document, split))
        self._group_bytes += document.size
        self.numbers.append(number)
        if self._group_bytes >= GROUP_BYTES:
            self._write()

    def close(self, whole: bool) -> None:
        """Closes the last file; `whole`, after what is left has been written."""
        if whole:
            self._write()
        if self._writer:
            self._writer.close()
            self._writer, self._part_bytes = None, 0

    def _write(self) -> None:
        import pyarrow as pa

        if not self._group:
            return
        documents = [document for document, _ in self._group]
        batch = pa.record_batch(
            {
                "id": pa.array([d.digest.hex() for d in documents], pa.string()),
                "text": pa.array([d.text for d in documents], pa.string()),
                "source": pa.array([d.source for d in documents], pa.string()),
                "licence": pa.array([d.licence for d in documents], pa.string()),
                "split": pa.array([split for _, split in self._group], pa.string()),
                "bytes": pa.array([d.size for d in documents], pa.int64()),
                **self._preparation.columns(documents),
            }
        )
        if self._writer is None:
            self.paths.append(self._folder / f"{self._name}-{len(self.paths):05}.parquet")
            self._writer = writer(self.paths[-1], batch.schema)
        self._writer.write_batch(batch)
        self._part_bytes += self._group_bytes
        self._group, self._group_bytes = [], 0
        if self._part_bytes >= PART_BYTES:
            self.close(whole=False)
