"""Find the files to collect."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from genloom.collect.licence import is_licence_file
from genloom.collect.options import Note
from genloom.collect.slug import escape_name
from genloom.errors import GenloomError, format_message
from genloom.store.files import expand_home

BUILTIN_PREFIX = "builtin:"
SKIPPED_FOLDERS = frozenset(("__pycache__", "node_modules", "venv", "genloom-workspace"))
SCRIVENER = ".scriv"  # a folder whose texts are below Files/Data; the rest is of the program


@dataclass(frozen=True)
class StoredObject:
    """The place of a file on a storage: the source's address, and the key below it."""

    url: str
    key: str
    token: str  # changes with the content
    licence_keys: tuple[str, ...] = ()  # of the licences beside and above it


@dataclass(frozen=True)
class SourceFile:
    """A file that may be read: `name` is its name in records and messages, `root` the folder given by the user."""

    path: Path
    name: str
    size: int
    root: Path
    format: str = ""  # how to read it, a name chosen by the medium's preparation
    is_streamed: bool = False  # it may hold far more than fits in memory
    stored: StoredObject | None = None  # where it is until it is read, if not at `path`
    target: Path | None = None  # where `path`, which may be a link, led to when the file was found

    @property
    def is_gzipped(self) -> bool:
        """Whether the file is a .gz, so that its size says little about its content."""
        return self.path.suffix.lower() == ".gz"

    def is_replaced(self) -> bool:
        """Tell whether `path` is by now a pipe or a device, which may never end, or a link to another place."""
        try:
            return self.target is not None and (self.path.resolve() != self.target or not self.target.is_file())
        except (OSError, RuntimeError):  # a link in a circle
            return True


def find_files(
    sources: Iterable[str | Path],
    excluded_folder: Path,
    builtin_sources: Mapping[str, Path],
    stored_sources: Mapping[str, tuple[list[SourceFile], list[Note]]] = MappingProxyType({}),
) -> tuple[list[SourceFile], list[Note]]:
    """Return the files of all sources in a fixed order, whatever they hold, and notes on the skipped ones.

    `excluded_folder` (the workspace) is never searched; `stored_sources` are those on a storage, by their address.
    Raises GenloomError for a source that does not exist.
    """
    files: dict[Path, SourceFile] = {}
    notes: list[Note] = []
    sources = list(sources)
    on_disk = [source for source in sources if str(source) not in stored_sources]
    roots = [expand_home(s).resolve() for s in on_disk if not str(s).startswith(BUILTIN_PREFIX)]
    for source in sources:
        if str(source).startswith(BUILTIN_PREFIX):
            file = _find_builtin_file(str(source), builtin_sources)
            files[file.path] = file
            continue
        if str(source) in stored_sources:
            stored_files, stored_notes = stored_sources[str(source)]
            files |= {file.path: file for file in stored_files}
            notes += stored_notes
            continue
        source_path = expand_home(source)
        if re.match(r"https?://|s3://|ftp://", str(source)):
            raise GenloomError("collect.url_source", source=escape_name(source))
        if not source_path.exists():
            raise GenloomError("collect.no_such_source", source=escape_name(source))
        root = source_path.resolve()
        if root.is_dir():
            for path in _walk_folder(root, excluded_folder.resolve(), roots, notes):
                _add_file(path, escape_name(path.relative_to(root.parent).as_posix()), root, files, notes)
        else:
            _add_file(root, escape_name(root.name), root.parent, files, notes)
    return list(files.values()), notes


def _find_builtin_file(source: str, builtin_sources: Mapping[str, Path]) -> SourceFile:
    path = builtin_sources.get(source.removeprefix(BUILTIN_PREFIX))
    if path is None:
        raise GenloomError("collect.no_such_builtin", source=source, known=", ".join(sorted(builtin_sources)))
    return SourceFile(path, source, path.stat().st_size, path.parent)


def _walk_folder(root: Path, excluded_folder: Path, roots: list[Path], notes: list[Note]) -> Iterable[Path]:
    """Yield the files below a folder. A link out of all sources is not followed: it may lead to anything."""

    def on_error(error: OSError) -> None:
        notes.append(
            Note.from_error(
                escape_name(error.filename), GenloomError("collect.folder_unreadable", reason=error.strerror)
            )
        )

    num_hidden = num_licences = 0
    for folder, all_folders, files in os.walk(root, onerror=on_error):
        folder_path = Path(folder)
        folders = [f for f in all_folders if folder_path / f != excluded_folder]
        kept_folders = [f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS]
        if folder_path.suffix.lower() == SCRIVENER:
            kept_folders = [f for f in kept_folders if f == "Files"]
            num_hidden, files = num_hidden + len(files), []
        num_hidden += len(folders) - len(kept_folders) + sum(file.startswith(".") for file in files)
        all_folders[:] = sorted(kept_folders)
        num_licences += sum(map(is_licence_file, files))
        shown_files = [file for file in sorted(files) if not file.startswith(".") and not is_licence_file(file)]
        outside_links = {
            path: target
            for path in (folder_path / name for name in (*all_folders, *shown_files))
            if path.is_symlink() and (target := _find_outside_target(path, roots))
        }
        for path, target in outside_links.items():
            error = GenloomError("collect.link_outside", target=escape_name(target.name))
            notes.append(Note.from_error(escape_name(path.relative_to(root.parent).as_posix()), error))
        yield from (path for file in shown_files if (path := folder_path / file) not in outside_links)
    if num_hidden:
        reason = format_message("collect.hidden_files", count=num_hidden)
        notes.append(Note(escape_name(root.name), reason, is_skipped=False))
    if num_licences:
        reason = format_message("collect.licence_files", count=num_licences)
        notes.append(Note(escape_name(root.name), reason, is_skipped=False))


def _find_outside_target(path: Path, roots: list[Path]) -> Path | None:
    """Return where a link leads to, if that exists and is in none of the sources."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # it leads to nowhere, or in a circle
        return None
    return None if any(root == target or root in target.parents for root in roots) else target


def _add_file(path: Path, name: str, root: Path, files: dict[Path, SourceFile], notes: list[Note]) -> None:
    try:
        if not path.is_file():
            notes.append(Note.from_error(name, GenloomError("collect.not_a_file")))
            return
        size, resolved_path = path.stat().st_size, path.resolve()
    except OSError as error:
        notes.append(Note.from_error(name, GenloomError("collect.file_unreadable", reason=error.strerror)))
        return
    if size == 0:
        notes.append(Note.from_error(name, GenloomError("collect.empty_file")))
    else:
        files.setdefault(resolved_path, SourceFile(path, name, size, root, target=resolved_path))
