"""A data set: one version of a collected corpus, read as a stream."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom import plugins
from genloom.store import manifest
from genloom.types import Item, Message

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

_ROWS_AT_ONCE = 256  # documents can be large: a batch has to fit beside a training run
_ALWAYS = ("id", "text", "source", "licence", "split", "bytes")  # the columns of every data set


@dataclass(frozen=True)
class Dataset:
    """A folder of Parquet parts with the columns id, text, source, licence, split, bytes and those of the medium.

    Of text these are language, quality and turns; of other media `content`, what the medium's `pack` made of a value,
    of which `text` is then the caption, and what is known of it besides.
    """

    name: str
    digest: str
    folder: Path
    manifest: dict[str, Any]

    @property
    def created(self) -> str:
        """When it was collected, as an ISO 8601 time in UTC."""
        return str(self.manifest["created"])

    @property
    def medium(self) -> str:
        """What its documents are: "text", "image" …"""
        return str(self.manifest.get("medium", "text"))

    def documents(self, split: Split) -> Iterator[Item]:
        """The documents of a split in the order collected, a few hundred in memory at a time.

        `meta["caption"]` says what a picture shows, "" where nobody said it. Of a conversation, `meta["turns"]` is the
        tuple of its Messages, and the text shows them. ValueError for a value that cannot be unpacked.
        """
        unpack = plugins.find("medium", self.medium).unpack
        for batch in self._batches(split, None):
            for row in batch.to_pylist():
                value, source, licence = row.pop("text"), row.pop("source"), row.pop("licence")
                if turns := row.pop("turns", ""):  # older data sets have no such column
                    row["turns"] = tuple(Message(turn["role"], turn["content"]) for turn in json.loads(turns))
                if "content" in row:
                    row["caption"] = value
                    value = self._unpacked(unpack, row.pop("content"), row["id"])
                yield Item(value, source=source, licence=licence, meta=row)

    def _unpacked(self, unpack: Callable[[bytes], Any], content: bytes, number: str) -> Any:
        try:
            return unpack(content)
        except ValueError as error:
            raise manifest.damaged(self.folder, f"its document {number[:12]}: {error}") from error

    def size(self, split: Split) -> int:
        """The bytes of a split: of UTF-8 text, or of packed values."""
        return sum(sum(batch.column("bytes").to_pylist()) for batch in self._batches(split, ["bytes"]))

    def count(self, split: Split) -> int:
        """The documents in a split."""
        return sum(batch.num_rows for batch in self._batches(split, []))

    def verify(self) -> None:
        """Compare every file with its recorded digest; ValueError names the first that is damaged."""
        manifest.verify(self.folder, self.manifest)

    def _batches(self, split: Split, columns: list[str] | None) -> Iterator["pa.RecordBatch"]:
        """The rows of a split with the given columns, or with all but `split`."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        assert split in SPLITS, split
        for part in sorted(self.folder.glob("part-*.parquet")):
            try:
                with pq.ParquetFile(part) as file:
                    names = file.schema_arrow.names
                    if missing := [name for name in _ALWAYS if name not in names]:
                        raise manifest.damaged(part, f"it has no column {missing[0]!r}")
                    wanted = [name for name in names if name != "split"] if columns is None else columns
                    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[*wanted, "split"]):
                        yield batch.filter(pc.field("split") == split).select(wanted or ["split"])
            except (pa.ArrowException, OSError, KeyError) as error:
                raise manifest.damaged(part, str(error).splitlines()[0]) from error


def open_dataset(name: str, folder: Path) -> Dataset:
    """The version in `folder`; ValueError if its manifest is damaged."""
    content = manifest.read(folder / "manifest.json")
    if content["digest"] != folder.name:
        raise manifest.damaged(folder / "manifest.json", "its digest is not the name of its folder")
    return Dataset(name, content["digest"], folder, content)
