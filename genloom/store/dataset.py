"""A data set: one version of a collected corpus, read as a stream."""

import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom import plugins
from genloom.errors import format_message
from genloom.media.abilities import get_ability
from genloom.memory import count_rows_within
from genloom.store import manifest, mirror
from genloom.types import Item, Message

if TYPE_CHECKING:  # pyarrow takes a third of a second to import, numpy a tenth
    import pyarrow as pa

    from genloom.store.sampling import DocumentIndex, Numbers

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

_BATCH_ROWS, _BATCH_BYTES = 256, 1 << 28  # a batch must fit in memory next to a training run
REQUIRED_COLUMNS = ("id", "text", "source", "licence", "split", "bytes")  # the columns of every data set
SHAPE_SUFFIX = ".shape"  # of the column with the shapes of the arrays in the column beside it


@dataclass(frozen=True)
class Dataset:
    """A folder of Parquet parts with the columns id, text, source, licence, split, bytes and those of the medium.

    For text, those are language, quality and turns. For other media, `content` holds the value as encoded by the
    medium, `text` its caption, and further columns hold metadata. The columns that the collection kept are numbers,
    text, or arrays: lists of numbers with a column NAME.shape.
    """

    name: str
    digest: str
    folder: Path
    manifest: dict[str, Any]
    excluded: frozenset[str] = frozenset()  # ids of documents that are left out of everything read

    @property
    def sequence(self) -> int:
        """The number among the versions in the order collected, whatever the clock says; 0 of an earlier Genloom."""
        return int(self.manifest.get("sequence", 0))

    @property
    def created(self) -> str:
        """The time of collection in ISO 8601, UTC."""
        return str(self.manifest["created"])

    @property
    def medium(self) -> str:
        """The medium of its documents: "text", "image" …"""
        return str(self.manifest.get("medium", "text"))

    def iter_documents(self, split: Split) -> Iterator[Item]:
        """Yield the documents of a split in the order collected, with a few hundred in memory at a time.

        `meta["caption"]` is the caption of an image, or "". For a conversation, `meta["turns"]` is the tuple of its
        Messages, and the text shows them. Raise ValueError for a value that cannot be decoded.
        """
        return self._to_items(batch for _, batch in self._read_batches(split, None))

    def iter_metadata(self, split: Split, column: str) -> Iterator[Item]:
        """Yield the documents of a split with only this column in `meta` and no value, which may be large.

        Without such a column, they have all others.
        """

        def list_columns(names: list[str]) -> list[str]:
            wanted = ("text",) if column == "caption" and "content" in names else (column, f"{column}{SHAPE_SUFFIX}")
            found = [name for name in names if name in wanted]
            return found or [name for name in names if name not in ("content", "text", "split")]

        for _, batch in self._read_batches(split, list_columns):
            for row in _to_rows(batch):
                yield Item(None, meta={"caption" if name == "text" else name: value for name, value in row.items()})

    def sample_documents(self, split: Split, count: int) -> Iterator[Item]:
        """Yield a random sample of up to `count` documents, the same at every call, in the order collected.

        The sample depends on the ids alone, not on the order of collection. The ids are read first, then only the row
        groups that contain a sampled document.
        """
        index = self._build_index(split)
        return self._to_items(batch for _, batch in self._read_documents(split, index, index.sample_documents(count)))

    def read_documents(self, split: Split, numbers: Sequence[int]) -> Iterator[Item]:
        """Yield the documents with these numbers in the order collected, which must ascend.

        Reads the ids of all documents, and the row groups that contain one of these.
        """
        index = self._build_index(split)
        return self._to_items(batch for _, batch in self._read_documents(split, index, list(numbers)))

    def iter_passages(self, split: Split, max_bytes: int) -> Iterator[Item]:
        """Yield passages in random order, the same at every call; the medium says how values are split, if at all.

        The first passages, up to about `max_bytes`, are an unbiased sample of the bytes. They are sampled by document
        ids, read like `sample_documents`, and held in memory together; a consumer that continues causes another read
        of that size. A split of at most `max_bytes` is yielded as complete documents.
        """
        from genloom.store.sampling import extract_passages

        index = self._build_index(split)
        if index.sizes_N.sum() <= max_bytes:
            yield from self.iter_documents(split)
            return
        split_value = get_ability(plugins.find_part("medium", self.medium), "split")
        for portion in index.iter_passages(max_bytes):
            places: dict[int, list[int]] = {}
            for place, passage in enumerate(portion):
                places.setdefault(passage.document, []).append(place)
            items: list[Item | None] = [None] * len(portion)
            for numbers, batch in self._read_documents(split, index, sorted(places)):
                for number, item in zip(numbers, self._to_items([batch]), strict=True):
                    passages = extract_passages(item, [portion[place] for place in places[number]], split_value)
                    for place, passage_item in zip(places[number], passages, strict=True):
                        items[place] = passage_item
            yield from (item for item in items if item is not None)

    def _to_items(self, batches: "Iterable[pa.RecordBatch]") -> Iterator[Item]:
        """Convert rows to documents."""
        decode = plugins.find_part("medium", self.medium).decode
        for batch in batches:
            for row in _to_rows(batch):
                value, source, licence = row.pop("text"), row.pop("source"), row.pop("licence")
                if turns_json := row.pop("turns", ""):  # older data sets have no such column
                    row["turns"] = tuple(
                        Message(message["role"], message["content"], message.get("is_learned", True))
                        for message in json.loads(turns_json)
                    )
                if "content" in row:
                    row["caption"] = value
                    value = self._decode_content(decode, row.pop("content"), row["id"])
                yield Item(value, source=source, licence=licence, meta=row)

    def _decode_content(self, decode: Callable[[bytes], Any], content: bytes, number: str) -> Any:
        try:
            return decode(content)
        except ValueError as error:
            reason = format_message("store.bad_document", id=number[:12], reason=error)
            raise manifest.damaged_error(self.folder, reason) from error

    def count_bytes(self, split: Split) -> int:
        """Count the bytes of a split: of UTF-8 text, or of encoded values."""
        return sum(sum(batch.column("bytes").to_pylist()) for _, batch in self._read_batches(split, ["bytes"]))

    def count_documents(self, split: Split) -> int:
        """Count the documents of a split."""
        return sum(batch.num_rows for _, batch in self._read_batches(split, []))

    def verify_sizes(self) -> None:
        """Compare every file's size with the recorded one; ValueError names the first damaged file."""
        manifest.verify_sizes(self.folder, self.manifest)

    def verify(self) -> None:
        """Compare every file's digest with the recorded one; ValueError names the first damaged file."""
        manifest.verify_digests(self.folder, self.manifest)

    def iter_ids(self, split: Split) -> Iterator[list[str]]:
        """Yield the ids of the documents of a split, digests of their content, some hundred at a time."""
        return (batch.column("id").to_pylist() for _, batch in self._read_batches(split, ["id"]))

    def exclude(self, ids: Iterable[str]) -> "Dataset":
        """Return the data set without the documents with these ids."""
        return replace(self, excluded=self.excluded | frozenset(ids))

    def _list_parts(self) -> list[Path]:
        """Return the files of the documents; ValueError if one is missing, as after the workspace was moved."""
        names = {Path(name).name for name in self.manifest.get("files", {}) if Path(name).match("part-*.parquet")}
        parts = sorted(self.folder / name for name in names) or sorted(self.folder.glob("part-*.parquet"))
        mirror.fetch_files(self.folder)
        for part in parts:
            if not part.is_file():
                raise manifest.damaged_error(part, "the file is missing")
        return parts

    def _build_index(self, split: Split) -> "DocumentIndex":
        from genloom.store import sampling

        rows = self._read_batches(split, ["id", "bytes"])
        return sampling.DocumentIndex.from_row_groups(
            (group, batch["id"].to_pylist(), batch["bytes"].to_pylist()) for group, batch in rows
        )

    def _read_documents(
        self, split: Split, index: "DocumentIndex", numbers: "Numbers | list[int]"
    ) -> Iterator[tuple[list[int], "pa.RecordBatch"]]:
        """Yield batches of the rows of these documents, each with its document numbers; `numbers` must ascend."""
        import numpy as np

        numbers_N, last_group, begin = np.asarray(numbers, np.int64), -1, 0
        for group, batch in self._read_batches(split, None, set(index.groups_N[numbers_N].tolist())):
            if group != last_group:
                last_group, begin = group, int(np.searchsorted(index.groups_N, group))
            batch_numbers = numbers_N[(numbers_N >= begin) & (numbers_N < begin + batch.num_rows)]
            yield batch_numbers.tolist(), batch.take(batch_numbers - begin)
            begin += batch.num_rows

    def _read_batches(
        self,
        split: Split,
        columns: list[str] | Callable[[list[str]], list[str]] | None,
        groups: Container[int] | None = None,
    ) -> Iterator[tuple[int, "pa.RecordBatch"]]:
        """Yield batches of rows of a split, each with the number of its row group.

        They have the given columns, those that a function selects of all names, or all but `split`. Row groups are
        numbered across all parts; `groups` selects some of them.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        assert split in SPLITS, split
        is_wanted = pc.field("split") == split
        if self.excluded:
            is_wanted &= ~pc.field("id").isin(sorted(self.excluded))
        number = -1
        for part in self._list_parts():
            try:
                with pq.ParquetFile(part) as file:
                    names = file.schema_arrow.names
                    if missing := [name for name in REQUIRED_COLUMNS if name not in names]:
                        raise manifest.damaged_error(part, f"the column {missing[0]!r} is missing")
                    if columns is None:
                        read_columns = [name for name in names if name != "split"]
                    else:
                        read_columns = columns if isinstance(columns, list) else columns(names)
                    further_columns = ["split", "id"] if self.excluded else ["split"]
                    all_columns = list(dict.fromkeys([*read_columns, *further_columns]))
                    for group in range(file.num_row_groups):
                        number += 1
                        if groups is not None and number not in groups:
                            continue
                        group_info = file.metadata.row_group(group)
                        bytes_per_row = group_info.total_byte_size / max(group_info.num_rows, 1)
                        batch_rows = count_rows_within(bytes_per_row, _BATCH_BYTES, _BATCH_ROWS)
                        for batch in file.iter_batches(batch_rows, [group], all_columns):
                            yield number, batch.filter(is_wanted).select(read_columns or ["split"])
            except (pa.ArrowException, OSError, KeyError) as error:
                reason = getattr(error, "strerror", None) or "it cannot be read as Parquet"
                raise manifest.damaged_error(part, reason) from error


def _to_rows(batch: "pa.RecordBatch") -> Iterator[dict[str, Any]]:
    """Yield the rows of a batch; a list of numbers with a shape is an array."""
    names = batch.schema.names
    array_names = [name for name in names if f"{name}{SHAPE_SUFFIX}" in names]
    plain_batch = batch.drop_columns([each for name in array_names for each in (name, f"{name}{SHAPE_SUFFIX}")])
    for number, row in enumerate(plain_batch.to_pylist()):
        arrays = {name: _to_array(batch[name][number], batch[f"{name}{SHAPE_SUFFIX}"][number]) for name in array_names}
        yield {**row, **arrays}


def _to_array(values: Any, shape: Any) -> Any:
    """Return an array of Parquet's list and shape, None where there is none."""
    return values.values.to_numpy(zero_copy_only=False).reshape(shape.as_py()) if values.is_valid else None


def open_dataset(name: str, folder: Path) -> Dataset:
    """Open the version in `folder`; ValueError if its manifest is damaged."""
    content = manifest.read_manifest(folder / "manifest.json")
    if content["digest"] != folder.name:
        raise manifest.damaged_error(folder / "manifest.json", "its digest is not the name of its folder")
    return Dataset(name, content["digest"], folder, content)
