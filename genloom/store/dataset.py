"""A data set: one version of a collected corpus, read as a stream."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.store import manifest
from genloom.types import Item, Message

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

_ROWS_AT_ONCE = 256  # documents can be large: a batch has to fit beside a training run


@dataclass(frozen=True)
class Dataset:
    """A folder of Parquet parts with the columns id, text, source, licence, split, language, quality, bytes, turns."""

    name: str
    digest: str
    folder: Path
    manifest: dict[str, Any]

    @property
    def created(self) -> str:
        """When it was collected, as an ISO 8601 time in UTC."""
        return str(self.manifest["created"])

    def documents(self, split: Split) -> Iterator[Item]:
        """The documents of a split in the order collected, a few hundred in memory at a time.

        Of a conversation, `meta["turns"]` is the tuple of its Messages, and the text shows them.
        """
        for batch in self._batches(split, ["id", "text", "source", "licence", "language", "quality", "bytes", "turns"]):
            for row in batch.to_pylist():
                text, source, licence = row.pop("text"), row.pop("source"), row.pop("licence")
                if turns := row.pop("turns", ""):  # older data sets have no such column
                    row["turns"] = tuple(Message(turn["role"], turn["content"]) for turn in json.loads(turns))
                yield Item(text, source=source, licence=licence, meta=row)

    def size(self, split: Split) -> int:
        """The bytes of UTF-8 text in a split."""
        return sum(sum(batch.column("bytes").to_pylist()) for batch in self._batches(split, ["bytes"]))

    def count(self, split: Split) -> int:
        """The documents in a split."""
        return sum(batch.num_rows for batch in self._batches(split, []))

    def verify(self) -> None:
        """Compare every file with its recorded digest; ValueError names the first that is damaged."""
        manifest.verify(self.folder, self.manifest)

    def _batches(self, split: Split, columns: list[str]) -> Iterator["pa.RecordBatch"]:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        assert split in SPLITS, split
        for part in sorted(self.folder.glob("part-*.parquet")):
            try:
                with pq.ParquetFile(part) as file:
                    known = [c for c in columns if c != "turns" or c in file.schema_arrow.names]
                    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[*known, "split"]):
                        yield batch.filter(pc.field("split") == split).select(known or ["split"])
            except (pa.ArrowException, OSError, KeyError) as error:
                raise manifest.damaged(part, str(error).splitlines()[0]) from error


def open_dataset(name: str, folder: Path) -> Dataset:
    """The version in `folder`; ValueError if its manifest is damaged."""
    content = manifest.read(folder / "manifest.json")
    if content["digest"] != folder.name:
        raise manifest.damaged(folder / "manifest.json", "its digest is not the name of its folder")
    return Dataset(name, content["digest"], folder, content)
