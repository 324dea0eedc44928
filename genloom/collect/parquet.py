"""Opens Parquet files that may have any name."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow.parquet as pq


@contextmanager
def open_parquet(path: Path, buffer_size: int = 0) -> Generator["pq.ParquetFile"]:
    """The file, closed at the end; ValueError where it is damaged, also while the block reads it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # As bytes, since a name in a str must be valid Unicode for pyarrow.
        with pa.OSFile(os.fsencode(path)) as raw, pq.ParquetFile(raw, buffer_size=buffer_size) as file:
            yield file
    except pa.ArrowNotImplementedError as error:
        reason = str(error).splitlines()[0][:120]
        raise ValueError(
            f"it is Parquet of a kind that is not read ({reason}); write it with plain settings"
        ) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None):  # the machine's trouble, not the file's
            raise
        raise ValueError("it is damaged or not a Parquet file; copy or export it again") from error
