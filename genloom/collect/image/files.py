"""Says of each file whether it holds pictures, or says something of one that lies beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genloom.collect.image import captions, parquet
from genloom.collect.names import shown
from genloom.collect.options import Note
from genloom.collect.sources import Found
from genloom.media import image

CURES = dict.fromkeys((".heic", ".heif", ".avif", ".jxl", ".psd", ".xcf", ".ai", ".eps", ".pdf", ".ico", ".tga"), "png")
PACKED = (".zip", ".tar", ".tgz", ".gz", ".7z", ".bz2", ".xz", ".zst", ".rar")


def claims(files: Sequence[Found]) -> int:
    """How many pictures there are, with those in tables, and how many files that describe them."""
    pictures = [one for one in files if _holds(one.path)]
    beside = _Beside(pictures)
    inside = sum(parquet.count(one.path) - 1 for one in pictures if one.path.suffix.lower() == ".parquet")
    return len(pictures) + inside + sum(one.path not in beside.pictures and beside.describes(one.path) for one in files)


def sort(files: Sequence[Found]) -> tuple[list[Found], list[Note]]:
    """The pictures and the files that hold some; of all others a note, but for what describes a picture."""
    captions.forget()
    found = [one for one in files if _holds(one.path)]
    beside = _Beside(found)
    notes, others = [], Counter()
    for one in files:
        suffix = one.path.suffix.lower()
        if one.path in beside.pictures:
            continue
        if suffix in CURES:
            notes.append(Note(one.name, f"{suffix} files are not read; save it as .{CURES[suffix]}"))
        elif suffix in PACKED:
            notes.append(Note(one.name, f"{suffix} files are not read; unpack it first"))
        elif not beside.describes(one.path):
            others[shown(suffix) or "no suffix"] += 1
        elif suffix in captions.TABLES and not captions.table(one.path):
            columns = ", ".join(captions.FILE_COLUMNS[:2])
            notes.append(
                Note(one.name, f"it names no captions of pictures (columns such as {columns} and text)", False)
            )
    if others:
        named = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(6))
        files_word = "file that is no picture was" if others.total() == 1 else "files that are no pictures were"
        notes.append(Note("the sources", f"{others.total():,} {files_word} left out ({named})", skipped=False))
    return [_read_as(one) for one in found], notes


def _holds(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in image.suffixes or (suffix == ".parquet" and parquet.holds_pictures(path))


def _read_as(one: Found) -> Found:
    table = one.path.suffix.lower() == ".parquet"
    return replace(one, format="parquet" if table else "picture", streamed=table)


class _Beside:
    """Knows which files describe pictures: those of the same name, and tables in a folder above them."""

    def __init__(self, found: Sequence[Found]) -> None:
        self.pictures = {one.path for one in found}
        self._stems = {one.path.with_suffix("") for one in found}
        self._folders = {
            folder for parent in {one.path.parent for one in found} for folder in (parent, *parent.parents)
        }

    def describes(self, path: Path) -> bool:
        suffix = path.suffix.lower()
        sidecar = suffix in captions.SIDECARS and not {
            path.with_suffix(""),
            path.with_suffix("").with_suffix(""),
        }.isdisjoint(self._stems)
        return sidecar or (suffix in captions.TABLES and path.parent in self._folders)
