"""Atomic writing of the files that people name."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from genloom.errors import GenloomError


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file and rename it to `path`, so that the file is complete or absent.

    Raise ValueError, naming the cure, if it cannot be written.
    """
    temp_path = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temp_path.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temp_path.replace(path)
    except OSError as error:
        raise GenloomError("media.unwritable", path=path, reason=error.strerror or error) from error
    finally:
        with suppress(OSError):
            temp_path.unlink(missing_ok=True)
