"""Open Parquet files, which may have any name."""

import os
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import GenloomError

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow.parquet as pq

SAMPLE_ROWS = 20  # by which columns of bytes are told from texts
BUFFER_BYTES = 1 << 20  # without it all values of a row group, often gigabytes, are read at once


@contextmanager
def open_parquet(path: Path, buffer_size: int = 0) -> Generator["pq.ParquetFile"]:
    """Open the file for the block; raises GenloomError if it is damaged, also while the block reads it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # As bytes, because pyarrow requires valid Unicode in a str.
        with pa.OSFile(os.fsencode(path)) as raw, pq.ParquetFile(raw, buffer_size=buffer_size) as file:
            yield file
    except pa.ArrowNotImplementedError as error:
        reason = str(error).splitlines()[0][:120]
        raise GenloomError("collect.parquet_unsupported", reason=reason) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None):  # a problem of the machine, not of the file
            raise
        raise GenloomError("collect.parquet_damaged") from error


def list_text_columns(schema: Any) -> list[str]:
    """Return the names of the columns that hold text, also where equal texts are stored once."""
    return [field.name for field in schema if is_text_type(field.type)]


def is_text_type(data_type: Any) -> bool:
    """Return whether the values of a type are texts."""
    from pyarrow import types

    if types.is_dictionary(data_type):
        return is_text_type(data_type.value_type)
    return types.is_string(data_type) or types.is_large_string(data_type) or types.is_string_view(data_type)


def find_encoded_texts(file: "pq.ParquetFile") -> list[str]:
    """Return the columns of bytes whose first values are texts in UTF-8, as some programs write them."""
    names = [field.name for field in file.schema_arrow if is_bytes_type(field.type)]
    batch = next(file.iter_batches(SAMPLE_ROWS, columns=names), None) if names else None
    if batch is None:
        return []
    values = {name: [value for value in batch.column(name).to_pylist() if value] for name in names}
    return [name for name, found in values.items() if found and all(map(_is_encoded_text, found))]


def _is_encoded_text(value: bytes) -> bool:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    is_drawing = text.lstrip().startswith("<")  # such as SVG, which is a value of its medium
    return not is_drawing and all(character.isprintable() or character.isspace() for character in text)


def is_bytes_type(data_type: Any) -> bool:
    """Return whether the values of a type are bytes."""
    from pyarrow import types

    return types.is_binary(data_type) or types.is_large_binary(data_type)


def has_message_type(data_type: Any, role_keys: Collection[str]) -> bool:
    """Return whether the values of a type are lists of objects with a role."""
    from pyarrow import types

    if not (types.is_list(data_type) or types.is_large_list(data_type)) or not types.is_struct(data_type.value_type):
        return False
    return any(field.name in role_keys for field in data_type.value_type)
