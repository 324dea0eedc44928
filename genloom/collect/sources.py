"""Finds the files to collect."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genloom.collect import builtin
from genloom.collect.licence import is_licence_file
from genloom.collect.names import shown
from genloom.collect.options import Note

BUILTIN = "builtin:"
SKIPPED_FOLDERS = frozenset(("__pycache__", "node_modules", "venv", "genloom-workspace"))


@dataclass(frozen=True)
class Found:
    """A file that may be read: `name` as it is told and recorded, `root` the folder that was given."""

    path: Path
    name: str
    size: int
    root: Path
    format: str = ""  # how it is read, in the words of the medium's preparation
    streamed: bool = False  # it may hold far more than fits in memory

    @property
    def is_packed(self) -> bool:
        """Whether it is a .gz, of which the size says little."""
        return self.path.suffix.lower() == ".gz"


def find(sources: Iterable[str | Path], leave_out: Path) -> tuple[list[Found], list[Note]]:
    """The files of all sources in a fixed order whatever they hold, and what is skipped with its reason.

    `leave_out` (the workspace) is never looked into. ValueError for a source that is not there.
    """
    found: dict[Path, Found] = {}
    notes: list[Note] = []
    for source in sources:
        if str(source).startswith(BUILTIN):
            one = _builtin(str(source))
            found[one.path] = one
            continue
        given = Path(source).expanduser()
        if not given.exists():
            raise ValueError(
                f"{shown(source)}: there is no such file or folder; check the spelling and where you stand"
            )
        root = given.resolve()
        if root.is_dir():
            for path in _walk(root, leave_out.resolve(), notes):
                _look(path, shown(path.relative_to(root.parent).as_posix()), root, found, notes)
        else:
            _look(root, shown(root.name), root.parent, found, notes)
    return list(found.values()), notes


def _builtin(source: str) -> Found:
    name = source.removeprefix(BUILTIN)
    if name not in builtin.NAMES:
        raise ValueError(f"{source}: there is no such built-in corpus; there is {', '.join(builtin.NAMES)}")
    path = Path(builtin.__file__).with_name(f"{name}.txt.gz")
    return Found(path, source, path.stat().st_size, path.parent)


def _walk(root: Path, leave_out: Path, notes: list[Note]) -> Iterable[Path]:
    def cannot(error: OSError) -> None:
        notes.append(Note(shown(error.filename), f"the folder could not be opened ({error.strerror})"))

    hidden = licences = 0
    for folder, all_folders, files in os.walk(root, onerror=cannot):
        here = Path(folder)
        folders = [f for f in all_folders if here / f != leave_out]
        kept = [f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS]
        hidden += len(folders) - len(kept) + sum(file.startswith(".") for file in files)
        all_folders[:] = sorted(kept)
        licences += sum(map(is_licence_file, files))
        yield from (here / file for file in sorted(files) if not file.startswith(".") and not is_licence_file(file))
    if hidden:
        reason = f"{hidden} hidden files or folders of programs were left out"
        notes.append(Note(shown(root.name), reason, skipped=False))
    if licences:
        reason = f"{licences} licence files were read for the licence of what lies beside them, not as texts"
        notes.append(Note(shown(root.name), reason, skipped=False))


def _look(path: Path, name: str, root: Path, found: dict[Path, Found], notes: list[Note]) -> None:
    try:
        if not path.is_file():
            notes.append(Note(name, "it is not a regular file, or a link that leads nowhere"))
            return
        size, real = path.stat().st_size, path.resolve()
    except OSError as error:
        notes.append(Note(name, f"it could not be looked at ({error.strerror})"))
        return
    if size == 0:
        notes.append(Note(name, "it is empty"))
    else:
        found.setdefault(real, Found(path, name, size, root))
