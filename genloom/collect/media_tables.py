"""Read encoded values from Parquet files: from a column of bytes, or of bytes and path as Hugging Face writes them.

Nothing here depends on the medium: the usual names of its column are a parameter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.collect import captions
from genloom.collect.parquet import BUFFER_BYTES, find_encoded_texts, is_bytes_type, is_text_type, open_parquet
from genloom.errors import GenloomError

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

CONTENT_COLUMNS = ("content", "bytes")  # in the tables of any medium
BATCH_ROWS = 64


@dataclass(frozen=True)
class MediaRow:
    """The bytes of a value and the other values of its row; `name` is its file name, "" if the row has none."""

    number: int
    data: bytes
    caption_entry: captions.CaptionEntry
    name: str = ""
    source: str = ""


def has_media(path: Path, content_columns: Sequence[str] = CONTENT_COLUMNS) -> bool:
    """Tell whether a column of a Parquet file may hold encoded values; False if the file is damaged."""
    try:
        with open_parquet(path, BUFFER_BYTES) as file:
            column = _find_content_column(file.schema_arrow, content_columns)
            return column.lower() in content_columns or (bool(column) and column not in find_encoded_texts(file))
    except (ValueError, OSError):
        return False


def count_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file."""
    with open_parquet(path) as file:
        return file.metadata.num_rows


def read_media_rows(
    path: Path, column: str, content_columns: Sequence[str] = CONTENT_COLUMNS, keep: Sequence[str] = ()
) -> Iterator[MediaRow]:
    """Yield the rows of the file; `column` is that of the captions. Raises GenloomError if the file is damaged."""
    with open_parquet(path, BUFFER_BYTES) as file:
        schema = file.schema_arrow
        content_column = _find_content_column(schema, content_columns)
        if column and column not in schema.names:
            raise GenloomError("collect.no_such_column", column=column, columns=", ".join(schema.names))
        columns = [
            field.name
            for field in schema
            if field.name != content_column and (_is_text(field.type) or field.name in keep)
        ]
        number = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=[content_column, *columns]):
            for record in batch.to_pylist():
                number += 1
                yield _parse_row(number, record, content_column, column, keep)


def _parse_row(number: int, record: dict[str, Any], content_column: str, column: str, keep: Sequence[str]) -> MediaRow:
    value = record.pop(content_column)
    name = ""
    if isinstance(value, dict):
        value, name = value.get("bytes"), value.get("path") or ""
    source = record.get("source")
    entry = captions.parse_record(record, column, keep)
    return MediaRow(number, value or b"", entry, name, source if isinstance(source, str) else "")


def _find_content_column(schema: "pa.Schema", content_columns: Sequence[str]) -> str:
    """Return the column of the encoded values: the first common name, else the first column of bytes, else ""."""
    names = [field.name for field in schema if _is_bytes(field.type)]
    usual_names = (name for candidate in content_columns for name in names if name.lower() == candidate)
    return next(usual_names, names[0] if names else "")


def _is_bytes(data_type: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_struct(data_type):
        return any(
            data_type.field(i).name == "bytes" and _is_bytes(data_type.field(i).type)
            for i in range(data_type.num_fields)
        )
    return is_bytes_type(data_type)


def _is_text(data_type: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_list(data_type):
        return _is_text(data_type.value_type)
    return is_text_type(data_type)
