"""Decide which files hold pictures, and which describe pictures beside them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genloom.collect import captions, media_tables
from genloom.collect.captioned import note_overruled
from genloom.collect.defaults import note_other_files
from genloom.collect.image.caption_words import FILE_COLUMNS, IMAGE_COLUMNS
from genloom.collect.options import Note
from genloom.collect.slug import escape_name
from genloom.collect.sources import SourceFile
from genloom.collect.unread_suffixes import CONVERSION_HINTS
from genloom.errors import GenloomError
from genloom.media import image

OWN_HINTS = {".pdf": "save it as .png", ".gz": "unpack it first"}  # of formats that other media read


def count_matching_files(files: Sequence[SourceFile]) -> int:
    """Count the pictures, including those in tables, and the files that describe them."""
    image_files = [file for file in files if _has_images(file.path)]
    sidecar_index = _SidecarIndex(image_files)
    num_table_images = sum(
        media_tables.count_rows(file.path) - 1 for file in image_files if file.path.suffix.lower() == ".parquet"
    )
    return (
        len(image_files)
        + num_table_images
        + sum(file.path not in sidecar_index.image_paths and sidecar_index.is_sidecar(file.path) for file in files)
    )


def select(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
    """Return the pictures and the files that hold some, and notes on all other files that describe no picture."""
    captions.clear_caches()
    image_files = [file for file in files if _has_images(file.path)]
    sidecar_index = _SidecarIndex(image_files)
    notes, other_counts = [], Counter()
    for file in files:
        suffix = file.path.suffix.lower()
        if file.path in sidecar_index.image_paths:
            continue
        if cure := CONVERSION_HINTS.get(suffix) or OWN_HINTS.get(suffix):
            error = GenloomError("collect.unsupported_suffix", suffix=suffix, cure=cure)
            notes.append(Note.from_error(file.name, error))
        elif not sidecar_index.is_sidecar(file.path):
            other_counts[escape_name(suffix) or "no suffix"] += 1
        elif suffix in captions.TABLE_SUFFIXES:
            table = captions.read_table(file.path, FILE_COLUMNS)
            if not table.entries and not table.problem:
                error = GenloomError("collect.no_captions_in_table", columns=", ".join(FILE_COLUMNS[:2]))
            elif table.problem:
                error = GenloomError("collect.damaged_caption_table", reason=table.problem)
            else:
                error = captions.describe_unused(table, file.path.parent, sidecar_index.paths_by_folder)
            if error is not None:
                notes.append(Note.from_error(file.name, error, is_skipped=False))
    notes += note_overruled([file for file in files if sidecar_index.is_sidecar(file.path)])
    return [_with_format(file) for file in image_files], [*notes, *note_other_files(other_counts)]


def _has_images(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in image.suffixes or (suffix == ".parquet" and media_tables.has_media(path, IMAGE_COLUMNS))


def _with_format(file: SourceFile) -> SourceFile:
    is_table = file.path.suffix.lower() == ".parquet"
    return replace(file, format="parquet" if is_table else "picture", is_streamed=is_table)


class _SidecarIndex:
    """The files that describe pictures: those of the same name, and tables in a folder above them."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self.image_paths = {file.path for file in files}
        self.paths_by_folder: dict[Path, list[Path]] = defaultdict(list)
        for file in files:
            self.paths_by_folder[file.path.parent].append(file.path)
        self._stems = {(file.path.parent, captions.fold_name(file.path.stem)) for file in files}
        self._list_folders = {
            folder for parent in {file.path.parent for file in files} for folder in (parent, *parent.parents)
        }

    def is_sidecar(self, path: Path) -> bool:
        suffix = path.suffix.lower()
        stems = {(path.parent, captions.fold_name(stem)) for stem in (path.stem, path.with_suffix("").stem)}
        is_same_name = suffix in captions.SIDECAR_SUFFIXES and not stems.isdisjoint(self._stems)
        return is_same_name or (suffix in captions.TABLE_SUFFIXES and path.parent in self._list_folders)
