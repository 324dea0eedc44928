"""Writes documents to Parquet parts, placing them in train, val and test on the way."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from genloom.collect import moves
from genloom.collect.options import Options
from genloom.collect.overlap import Kinship
from genloom.collect.preparation import Document, Preparation
from genloom.collect.split import (
    SMALL_BYTES,
    SMALL_DOCUMENTS,
    Group,
    Row,
    by_border,
    by_rank,
    enough,
    place,
    sums,
    together,
)

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow.parquet as pq

GROUP_BYTES = 8 << 20  # in a row group, which is what a reader holds in memory
PART_BYTES = 512 << 20  # in a file


class Parts:
    """The files part-00000.parquet and on in `folder`; a context, left after `finish`.

    Columns id, text, source, licence, split, bytes and those of the medium, in the order of adding. `splits` counts.
    """

    def __init__(self, folder: Path, options: Options, preparation: Preparation) -> None:
        self._folder = folder
        self._preparation = preparation
        self._options = options
        self._first: list[Document] | None = []  # until the collection turns out not to be small
        self._first_bytes = 0
        self._group: list[tuple[Document, str]] = []
        self._group_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._part_bytes = 0
        self._part = 0
        self.splits = sums([], [])

    def __enter__(self) -> "Parts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    def finish(self, kinship: Kinship) -> bool:
        """Writes what is left; whether the documents that `kinship` names as alike could be placed together."""
        if self._first is not None:
            splits, united = self._ranked(self._first, kinship)
            self._decide_first(splits)
            self._write_group()
            return united
        self._write_group()
        self._close()
        if not len(kinship.tied):
            return True
        self.splits, united = moves.unite(self._folder, kinship, self._options, self.splits)
        return united

    def add(self, documents: Sequence[Document]) -> None:
        """Takes documents in; they are on disk after `finish`."""
        if self._first is not None:
            self._first.extend(documents)
            self._first_bytes += sum(document.size for document in documents)
            if len(self._first) > SMALL_DOCUMENTS or self._first_bytes > SMALL_BYTES:
                self._decide_first([self._border(document) for document in self._first])
            return
        for document in documents:
            self._put(document, self._border(document))

    def _border(self, document: Document) -> str:
        return by_border(place(document.digest, self._options.seed), self._options.val, self._options.test)

    def _ranked(self, documents: Sequence[Document], kinship: Kinship) -> tuple[list[str], bool]:
        """The splits of all documents of a small collection, and whether those that are alike stand together."""

        def rank(groups: Sequence[Group]) -> list[str]:
            places = [place(group.digest, self._options.seed) for group in groups]
            sizes, barred = [group.size for group in groups], [group.barred for group in groups]
            return by_rank(places, sizes, self._options.val, self._options.test, barred)

        rows = [Row(number, document.digest, document.size) for number, document in enumerate(documents)]
        sizes = [row.size for row in rows]
        alone = rank([Group(row.digest, row.size) for row in rows])
        splits = together(rows, kinship, rank)
        united = enough(sums(sizes, alone), sums(sizes, splits))
        return (splits if united else alone), united

    def _decide_first(self, splits: Sequence[str]) -> None:
        first, self._first = self._first or [], None
        for document, split in zip(first, splits, strict=True):
            self._put(document, split)

    def _put(self, document: Document, split: str) -> None:
        self._group.append((document, split))
        self._group_bytes += document.size
        self.splits[split]["documents"] += 1
        self.splits[split]["bytes"] += document.size
        if self._group_bytes >= GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
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
            self._writer = moves.writer(self._folder / f"part-{self._part:05}.parquet", batch.schema)
        self._writer.write_batch(batch)
        self._part_bytes += self._group_bytes
        self._group, self._group_bytes = [], 0
        if self._part_bytes >= PART_BYTES:
            self._close()
            self._part, self._part_bytes = self._part + 1, 0
