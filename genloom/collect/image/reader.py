"""Read the bytes of pictures from files, with their captions and licences."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from genloom.collect import captioned, captions, licence, media_tables
from genloom.collect.image.caption_words import FILE_COLUMNS, IMAGE_COLUMNS
from genloom.collect.options import Note, Options
from genloom.collect.slug import decode_lossy
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError
from genloom.media.image.decoding import MAX_BYTES


@dataclass(frozen=True)
class RawImage(captioned.RawValue):
    """A picture before decoding."""

    folder_licence: str = licence.UNKNOWN_LICENCE  # that of a LICENSE file beside it
    stem: str = ""  # of the file name
    folder: str = ""  # the name of the file's folder below the collected one, or ""


def read(file: SourceFile, options: Options) -> Iterator[RawImage | Note]:
    """Yield the pictures of a file, undecoded; bad input yields a Note and never raises."""
    pictures = _read_parquet(file, options) if file.format == "parquet" else _read_image(file, options)
    return captioned.iter_with_notes(file, pictures)


def _read_image(file: SourceFile, options: Options) -> Iterator[RawImage]:
    if file.size > MAX_BYTES:
        raise GenloomError("collect.picture_too_large", limit=MAX_BYTES >> 20)
    entry, caption_source = captions.find_caption(file.path, file.root, FILE_COLUMNS, options.keep)
    folder = "" if file.path.parent == file.root else decode_lossy(file.path.parent.name)
    stem = decode_lossy(file.path.stem)
    yield RawImage(
        file.path.read_bytes(),
        file.name,
        entry.caption,
        caption_source,
        entry.licence,
        True,
        entry.kept_values,
        captioned.find_folder_licence(file),
        stem,
        folder,
    )


def _read_parquet(file: SourceFile, options: Options) -> Iterator[RawImage]:
    folder_licence = captioned.find_folder_licence(file)
    for row in media_tables.read_media_rows(file.path, options.column, IMAGE_COLUMNS, options.keep):
        entry, source = row.caption_entry, row.source or f"{file.name}:{row.number}"
        origin, stem = captioned.FROM_TABLE, PurePosixPath(row.name).stem
        yield RawImage(
            row.data, source, entry.caption, origin, entry.licence, False, entry.kept_values, folder_licence, stem
        )
