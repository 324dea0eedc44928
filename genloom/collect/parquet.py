"""Open Parquet files, which may have any name."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genloom.errors import GenloomError

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow.parquet as pq


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
