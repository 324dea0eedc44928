"""Finds the files to collect."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genloom.collect import builtin
from genloom.collect.licence import is_licence_file
from genloom.collect.options import Note
from genloom.collect.slug import escape_name

BUILTIN_PREFIX = "builtin:"
SKIPPED_FOLDERS = frozenset(("__pycache__", "node_modules", "venv", "genloom-workspace"))


@dataclass(frozen=True)
class SourceFile:
    """A file that may be read: `name` as it is told and recorded, `root` the folder that was given."""

    path: Path
    name: str
    size: int
    root: Path
    format: str = ""  # how it is read, in the words of the medium's preparation
    is_streamed: bool = False  # it may hold far more than fits in memory

    @property
    def is_gzipped(self) -> bool:
        """Whether it is a .gz, of which the size says little."""
        return self.path.suffix.lower() == ".gz"


def find_files(sources: Iterable[str | Path], excluded_folder: Path) -> tuple[list[SourceFile], list[Note]]:
    """The files of all sources in a fixed order whatever they hold, and what is skipped with its reason.

    `leave_out` (the workspace) is never looked into. ValueError for a source that is not there.
    """
    files: dict[Path, SourceFile] = {}
    notes: list[Note] = []
    for source in sources:
        if str(source).startswith(BUILTIN_PREFIX):
            file = _builtin_file(str(source))
            files[file.path] = file
            continue
        source_path = Path(source).expanduser()
        if not source_path.exists():
            raise ValueError(
                f"{escape_name(source)}: there is no such file or folder; check the spelling and where you stand"
            )
        root = source_path.resolve()
        if root.is_dir():
            for path in _walk_folder(root, excluded_folder.resolve(), notes):
                _add_file(path, escape_name(path.relative_to(root.parent).as_posix()), root, files, notes)
        else:
            _add_file(root, escape_name(root.name), root.parent, files, notes)
    return list(files.values()), notes


def _builtin_file(source: str) -> SourceFile:
    name = source.removeprefix(BUILTIN_PREFIX)
    if name not in builtin.NAMES:
        raise ValueError(f"{source}: there is no such built-in corpus; there is {', '.join(builtin.NAMES)}")
    path = Path(builtin.__file__).with_name(f"{name}.txt.gz")
    return SourceFile(path, source, path.stat().st_size, path.parent)


def _walk_folder(root: Path, excluded_folder: Path, notes: list[Note]) -> Iterable[Path]:
    def on_error(error: OSError) -> None:
        notes.append(Note(escape_name(error.filename), f"the folder could not be opened ({error.strerror})"))

    num_hidden = num_licences = 0
    for folder, all_folders, files in os.walk(root, onerror=on_error):
        folder_path = Path(folder)
        folders = [f for f in all_folders if folder_path / f != excluded_folder]
        kept_folders = [f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS]
        num_hidden += len(folders) - len(kept_folders) + sum(file.startswith(".") for file in files)
        all_folders[:] = sorted(kept_folders)
        num_licences += sum(map(is_licence_file, files))
        yield from (
            folder_path / file for file in sorted(files) if not file.startswith(".") and not is_licence_file(file)
        )
    if num_hidden:
        reason = f"{num_hidden} hidden files or folders of programs were left out"
        notes.append(Note(escape_name(root.name), reason, is_skipped=False))
    if num_licences:
        reason = f"{num_licences} licence files were read for the licence of what lies beside them, not as texts"
        notes.append(Note(escape_name(root.name), reason, is_skipped=False))


def _add_file(path: Path, name: str, root: Path, files: dict[Path, SourceFile], notes: list[Note]) -> None:
    try:
        if not path.is_file():
            notes.append(Note(name, "it is not a regular file, or a link that leads nowhere"))
            return
        size, resolved_path = path.stat().st_size, path.resolve()
    except OSError as error:
        notes.append(Note(name, f"it could not be looked at ({error.strerror})"))
        return
    if size == 0:
        notes.append(Note(name, "it is empty"))
    else:
        files.setdefault(resolved_path, SourceFile(path, name, size, root))
