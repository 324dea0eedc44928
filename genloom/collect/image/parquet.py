"""Reads pictures out of Parquet files: a column of bytes, or of bytes and path as Hugging Face writes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.collect.image import captions
from genloom.collect.parquet import opened

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

USUAL = ("image", "content", "img", "picture", "photo", "png", "jpg", "jpeg", "webp", "svg", "bytes")
ROWS_AT_ONCE = 64
BUFFER = 1 << 20  # bytes: without it all pictures of a row group, often gigabytes, are read at once


@dataclass(frozen=True)
class Row:
    """A picture's bytes with what its row says of it; `name` is the file's where the row has one."""

    number: int
    data: bytes
    said: captions.Said
    name: str = ""
    source: str = ""


def holds_pictures(path: Path) -> bool:
    """Whether some column of a Parquet file may hold pictures; False where it is damaged."""
    try:
        with opened(path) as file:
            return bool(_column(file.schema_arrow))
    except (ValueError, OSError):
        return False


def count(path: Path) -> int:
    """The rows of a Parquet file that holds pictures."""
    with opened(path) as file:
        return file.metadata.num_rows


def rows(path: Path, column: str) -> Iterator[Row]:
    """The rows that hold a picture; `column` names the captions. ValueError where the file is damaged."""
    with opened(path, BUFFER) as file:
        schema = file.schema_arrow
        pictures = _column(schema)
        if column and column not in schema.names:
            raise ValueError(f"it has no column {column!r}; it has {', '.join(schema.names)}")
        others = [field.name for field in schema if field.name != pictures and _is_text(field.type)]
        number = 0
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=[pictures, *others]):
            for record in batch.to_pylist():
                number += 1
                yield _row(number, record, pictures, column)


def _row(number: int, record: dict[str, Any], pictures: str, column: str) -> Row:
    value = record.pop(pictures)
    name = ""
    if isinstance(value, dict):
        value, name = value.get("bytes"), value.get("path") or ""
    source = record.get("source")
    return Row(
        number, value or b"", captions.of_record(record, column), name, source if isinstance(source, str) else ""
    )


def _column(schema: "pa.Schema") -> str:
    """The column of the pictures: the one usually so named, else the first of bytes; "" where there is none."""
    names = [field.name for field in schema if _is_bytes(field.type)]
    return next((name for usual in USUAL for name in names if name.lower() == usual), names[0] if names else "")


def _is_bytes(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" and _is_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_list(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
