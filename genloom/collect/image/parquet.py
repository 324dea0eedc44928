"""Read pictures from Parquet files: from a column of bytes, or of bytes and path as Hugging Face writes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.collect import captions
from genloom.collect.parquet import open_parquet
from genloom.errors import GenloomError

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

IMAGE_COLUMNS = ("image", "content", "img", "picture", "photo", "png", "jpg", "jpeg", "webp", "svg", "bytes")
BATCH_ROWS = 64
BUFFER_BYTES = 1 << 20  # without it all pictures of a row group, often gigabytes, are read at once


@dataclass(frozen=True)
class ImageRow:
    """A picture's bytes and the other values of its row; `name` is its file name, "" if the row has none."""

    number: int
    data: bytes
    caption_entry: captions.CaptionEntry
    name: str = ""
    source: str = ""


def has_images(path: Path) -> bool:
    """Tell whether a column of a Parquet file may hold pictures; False if the file is damaged."""
    try:
        with open_parquet(path) as file:
            return bool(_find_image_column(file.schema_arrow))
    except (ValueError, OSError):
        return False


def count_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file."""
    with open_parquet(path) as file:
        return file.metadata.num_rows


def read_image_rows(path: Path, column: str) -> Iterator[ImageRow]:
    """Yield the rows of the file; `column` is that of the captions. Raises GenloomError if the file is damaged."""
    with open_parquet(path, BUFFER_BYTES) as file:
        schema = file.schema_arrow
        image_column = _find_image_column(schema)
        if column and column not in schema.names:
            raise GenloomError("collect.no_such_column", column=column, columns=", ".join(schema.names))
        text_columns = [field.name for field in schema if field.name != image_column and _is_text(field.type)]
        number = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=[image_column, *text_columns]):
            for record in batch.to_pylist():
                number += 1
                yield _parse_row(number, record, image_column, column)


def _parse_row(number: int, record: dict[str, Any], image_column: str, column: str) -> ImageRow:
    value = record.pop(image_column)
    name = ""
    if isinstance(value, dict):
        value, name = value.get("bytes"), value.get("path") or ""
    source = record.get("source")
    return ImageRow(
        number, value or b"", captions.parse_record(record, column), name, source if isinstance(source, str) else ""
    )


def _find_image_column(schema: "pa.Schema") -> str:
    """Return the column of the pictures: the first common name, else the first column of bytes, else ""."""
    names = [field.name for field in schema if _is_bytes(field.type)]
    return next(
        (name for candidate in IMAGE_COLUMNS for name in names if name.lower() == candidate), names[0] if names else ""
    )


def _is_bytes(data_type: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_struct(data_type):
        return any(
            data_type.field(i).name == "bytes" and _is_bytes(data_type.field(i).type)
            for i in range(data_type.num_fields)
        )
    return pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type)


def _is_text(data_type: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_list(data_type):
        return _is_text(data_type.value_type)
    return pa.types.is_string(data_type) or pa.types.is_large_string(data_type)
