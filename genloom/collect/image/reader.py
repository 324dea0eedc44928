"""Read the bytes of pictures from files, with their captions and licences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from genloom.collect import captions, licence, media_tables
from genloom.collect.image.caption_words import FILE_COLUMNS, IMAGE_COLUMNS
from genloom.collect.options import Note, Options
from genloom.collect.slug import decode_lossy
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError
from genloom.media.image.decoding import MAX_BYTES


@dataclass(frozen=True)
class RawImage:
    """A picture before decoding. `source` ends in ":12" for a row, counted from 1."""

    data: bytes
    source: str
    caption: str
    caption_source: str  # where the caption was found
    licence: str  # of this picture, or ""
    folder_licence: str  # that of a LICENSE file beside it, or "unknown"
    stem: str = ""  # of the file name
    folder: str = ""  # the name of the file's folder below the collected one, or ""
    is_whole_file: bool = True  # whether the picture is the whole of its file
    kept_values: Mapping[str, Any] = field(default_factory=dict)  # values of the table's other columns

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


def read(file: SourceFile, options: Options) -> Iterator[RawImage | Note]:
    """Yield the pictures of a file, undecoded; bad input yields a Note and never raises."""
    try:
        yield from _read_parquet(file, options) if file.format == "parquet" else [_read_image(file, options)]
    except OSError as error:
        yield Note.from_error(file.name, GenloomError("collect.file_unreadable", reason=error.strerror or error))
    except MemoryError:
        yield Note.from_error(file.name, GenloomError("collect.memory_limit"))
    except ValueError as error:
        yield Note.from_error(file.name, error)


def _read_image(file: SourceFile, options: Options) -> RawImage:
    if file.size > MAX_BYTES:
        raise GenloomError("collect.picture_too_large", limit=MAX_BYTES >> 20)
    entry, caption_source = captions.find_caption(file.path, file.root, FILE_COLUMNS, options.keep)
    folder = "" if file.path.parent == file.root else decode_lossy(file.path.parent.name)
    stem = decode_lossy(file.path.stem)
    return RawImage(
        file.path.read_bytes(),
        file.name,
        entry.caption,
        caption_source,
        entry.licence,
        _find_folder_licence(file),
        stem,
        folder,
        kept_values=entry.kept_values,
    )


def _read_parquet(file: SourceFile, options: Options) -> Iterator[RawImage]:
    folder_licence = _find_folder_licence(file)
    for row in media_tables.read_media_rows(file.path, options.column, IMAGE_COLUMNS, options.keep):
        yield RawImage(
            row.data, row.source or f"{file.name}:{row.number}", row.caption_entry.caption, "a column of the table",
            row.caption_entry.licence, folder_licence, PurePosixPath(row.name).stem, is_whole_file=False,
            kept_values=row.caption_entry.kept_values,
        )  # fmt: skip


def _find_folder_licence(file: SourceFile) -> str:
    return licence.find_folder_licence(file.path.parent, file.root) or licence.UNKNOWN_LICENCE
