"""Atomic writing of the files that people name, and values as such files hold them."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from genloom.errors import GenloomError
from genloom.types import Item


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


def render_file(medium: Any, item: Item, name: str, options: Any = None) -> bytes:
    """Return a value as the medium writes it to a file of this name; the file itself is written once it is signed."""
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        path = Path(folder, f"value{Path(name).suffix}")
        medium.save(item, path, *([] if options is None else [options]))
        return path.read_bytes()
