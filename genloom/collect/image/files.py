"""Says of each file whether it holds pictures, or says something of one that lies beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genloom.collect import captions
from genloom.collect.image import parquet
from genloom.collect.options import Note
from genloom.collect.slug import escape_name
from genloom.collect.sources import SourceFile
from genloom.media import image

CONVERSION_HINTS = dict.fromkeys(
    (".heic", ".heif", ".avif", ".jxl", ".psd", ".xcf", ".ai", ".eps", ".pdf", ".ico", ".tga"), "png"
)
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".bz2", ".xz", ".zst", ".rar")


def match_count(files: Sequence[SourceFile]) -> int:
    """How many pictures there are, with those in tables, and how many files that describe them."""
    image_files = [file for file in files if _has_images(file.path)]
    sidecar_index = _SidecarIndex(image_files)
    num_table_images = sum(
        parquet.count_rows(file.path) - 1 for file in image_files if file.path.suffix.lower() == ".parquet"
    )
    return (
        len(image_files)
        + num_table_images
        + sum(file.path not in sidecar_index.pictures and sidecar_index.is_sidecar(file.path) for file in files)
    )


def select(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
    """The pictures and the files that hold some; of all others a note, but for what describes a picture."""
    captions.clear_caches()
    image_files = [file for file in files if _has_images(file.path)]
    sidecar_index = _SidecarIndex(image_files)
    notes, other_counts = [], Counter()
    for file in files:
        suffix = file.path.suffix.lower()
        if file.path in sidecar_index.pictures:
            continue
        if suffix in CONVERSION_HINTS:
            notes.append(Note(file.name, f"{suffix} files are not read; save it as .{CONVERSION_HINTS[suffix]}"))
        elif suffix in ARCHIVE_SUFFIXES:
            notes.append(Note(file.name, f"{suffix} files are not read; unpack it first"))
        elif not sidecar_index.is_sidecar(file.path):
            other_counts[escape_name(suffix) or "no suffix"] += 1
        elif suffix in captions.TABLE_SUFFIXES and not captions.read_table(file.path):
            columns = ", ".join(captions.FILE_COLUMNS[:2])
            notes.append(
                Note(file.name, f"it names no captions of pictures (columns such as {columns} and text)", False)
            )
    if other_counts:
        suffix_list = ", ".join(f"{count:,} {suffix}" for suffix, count in other_counts.most_common(6))
        files_word = "file that is no picture was" if other_counts.total() == 1 else "files that are no pictures were"
        notes.append(
            Note("the sources", f"{other_counts.total():,} {files_word} left out ({suffix_list})", is_skipped=False)
        )
    return [_with_format(file) for file in image_files], notes


def _has_images(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in image.suffixes or (suffix == ".parquet" and parquet.has_images(path))


def _with_format(file: SourceFile) -> SourceFile:
    is_table = file.path.suffix.lower() == ".parquet"
    return replace(file, format="parquet" if is_table else "picture", streamed=is_table)


class _SidecarIndex:
    """Knows which files describe pictures: those of the same name, and tables in a folder above them."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self.image_paths = {file.path for file in files}
        self._stems = {file.path.with_suffix("") for file in files}
        self._list_folders = {
            folder for parent in {file.path.parent for file in files} for folder in (parent, *parent.parents)
        }

    def is_sidecar(self, path: Path) -> bool:
        suffix = path.suffix.lower()
        is_same_name = suffix in captions.SIDECAR_SUFFIXES and not {
            path.with_suffix(""),
            path.with_suffix("").with_suffix(""),
        }.isdisjoint(self._stems)
        return is_same_name or (suffix in captions.TABLE_SUFFIXES and path.parent in self._list_folders)
