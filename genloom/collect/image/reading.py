"""Takes the bytes of pictures out of files, each with what is said of it and its licence."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from genloom.collect import licence
from genloom.collect.image import captions, parquet
from genloom.collect.names import legible
from genloom.collect.options import Note, Options
from genloom.collect.sources import Found
from genloom.media.image.decoding import BYTES_AT_MOST


@dataclass(frozen=True)
class Raw:
    """A picture before it is decoded. `source` ends in ":12" for a row, counted from 1."""

    data: bytes
    source: str
    caption: str
    said_by: str  # who said the caption
    licence: str  # said of this very picture, or ""
    inherited: str  # that of a LICENSE file beside it, or "unknown"
    stem: str = ""  # of the file's name
    folder: str = ""  # the name of the folder below the one that was given, or ""
    alone: bool = True  # it is all of its file

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


def read(found: Found, options: Options) -> Iterator[Raw | Note]:
    """The pictures of a file, undecoded; bad input yields a Note and never raises."""
    try:
        yield from _parquet(found, options) if found.format == "parquet" else [_picture(found)]
    except OSError as error:
        yield Note(found.name, f"it could not be read ({error.strerror or error})")
    except (ValueError, MemoryError) as error:
        yield Note(found.name, str(error) or type(error).__name__)


def _picture(found: Found) -> Raw:
    if found.size > BYTES_AT_MOST:
        raise ValueError(f"it is larger than {BYTES_AT_MOST >> 20} MB; save a smaller copy of it")
    said, by = captions.beside(found.path, found.root)
    folder = "" if found.path.parent == found.root else legible(found.path.parent.name)
    stem = legible(found.path.stem)
    return Raw(found.path.read_bytes(), found.name, said.caption, by, said.licence, _inherited(found), stem, folder)


def _parquet(found: Found, options: Options) -> Iterator[Raw]:
    inherited = _inherited(found)
    for row in parquet.rows(found.path, options.column):
        yield Raw(
            row.data, row.source or f"{found.name}:{row.number}", row.said.caption, "a column of the table",
            row.said.licence, inherited, PurePosixPath(row.name).stem, alone=False,
        )  # fmt: skip


def _inherited(found: Found) -> str:
    return licence.beside(found.path.parent, found.root) or licence.UNKNOWN
