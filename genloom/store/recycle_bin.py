"""The bin of a workspace: what was removed from it can be restored until the bin is emptied.

    bin/<id>/entry.json    what was removed, and the paths that it had
    bin/<id>/0, 1, …       what was at these paths

Something is removed once what was at its first path is in the bin, and restored once it is back there. A process that
dies before that has changed nothing; after that, `complete_entries` moves the rest. Entries stay when the bin is
emptied, so that a model that is trained later does not get the number of a version that ratings are about.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from genloom.errors import GenloomError
from genloom.settings import parse_settings, to_table
from genloom.store import files, manifest, mirror
from genloom.store.model_folder import list_versions
from genloom.store.names import is_timed_id, make_timed_id, unknown_name_error

RemovableKind = Literal["data", "models", "runs", "outputs", "conversations", "prompts", "knowledge", "classifiers"]
REMOVABLE_KINDS: tuple[RemovableKind, ...] = (
    "data",
    "models",
    "runs",
    "outputs",
    "conversations",
    "prompts",
    "knowledge",
    "classifiers",
)


@dataclass(frozen=True)
class BinEntry:
    """Something that was removed, with its paths below the workspace."""

    id: str
    kind: RemovableKind
    name: str
    removed: str  # ISO 8601, UTC
    bytes: int
    paths: tuple[str, ...]
    versions: tuple[int, ...] = ()  # of a model
    is_emptied: bool = False

    def has_version(self, refs: Collection[str]) -> bool:
        """Return whether a version of a model that was removed with this entry is among these."""
        model = self.name.partition("/")[0]
        return self.kind == "models" and any(f"{model}/{version}" in refs for version in self.versions)

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of the bin."""
        return {key: getattr(self, key) for key in ("id", "kind", "name", "removed", "bytes")}


def move_to_bin(root: Path, kind: RemovableKind, name: str, paths: list[Path]) -> BinEntry:
    """Move the files and folders at `paths` to the bin."""
    with files.lock_folder(root / "bin"):
        complete_entries(root)
        paths = [path for path in paths if os.path.lexists(path)]
        if not paths:  # an empty entry would be restored in place of the one that another process made
            raise GenloomError("store.removed_meanwhile", name=name)
        moment, offset = datetime.now(UTC), 0
        while (root / "bin" / make_timed_id(moment, offset)).exists():
            offset += 1
        entry = BinEntry(
            make_timed_id(moment, offset),
            kind,
            name,
            moment.isoformat(timespec="microseconds"),
            sum(map(count_bytes, paths)),
            tuple(path.relative_to(root).as_posix() for path in paths),
            tuple(find_versions(paths[0])) if kind == "models" else (),
        )
        with files.atomic_folder(root / "bin" / entry.id) as folder:
            _write_entry(folder, entry)
        _move_in(root, entry)
    return entry


def restore_entry(root: Path, name_or_id: str) -> BinEntry:
    """Move an entry, by its id or the newest with this name, back to where it was."""
    if not (root / "bin").is_dir():
        raise unknown_name_error("removed thing", name_or_id, (), "The bin is empty.")
    with files.lock_folder(root / "bin"):
        complete_entries(root)
        entries = list_entries(root)
        matches = [entry for entry in entries if name_or_id in (entry.id, entry.name)]
        if not matches:
            names = {entry.name for entry in entries}
            raise unknown_name_error("removed thing", name_or_id, names, "The bin is empty.")
        if len({entry.kind for entry in matches}) > 1:
            choices = " or ".join(f"{entry.id} ({entry.kind})" for entry in matches)
            raise GenloomError("store.ambiguous_in_bin", name=name_or_id, choices=choices)
        entry = matches[-1]
        if (place := root / entry.paths[0]).exists():
            raise GenloomError("store.restore_blocked", name=entry.name, path=place, id=entry.id)
        for number, path in reversed(list(enumerate(entry.paths))):
            source = root / "bin" / entry.id / str(number)
            if source.exists() and not (root / path).exists():  # the source of an edit may be there for a newer output
                _move_path(source, root / path)
        complete_entries(root)
    return entry


def empty_bin(root: Path) -> int:
    """Delete what is in the bin, and return how many bytes that frees."""
    if not (root / "bin").is_dir():
        return 0
    with files.lock_folder(root / "bin"):
        complete_entries(root)
        entries = list_entries(root)
        for entry in entries:
            _write_entry(root / "bin" / entry.id, replace(entry, is_emptied=True))
        complete_entries(root)
    return sum(entry.bytes for entry in entries)


def list_entries(root: Path) -> list[BinEntry]:
    """List what can be restored, oldest first."""
    return [entry for entry in _read_entries(root) if not entry.is_emptied and (root / "bin" / entry.id / "0").exists()]


def find_entry(root: Path, kind: RemovableKind, name: str, version: int | None = None) -> BinEntry | None:
    """Return the newest entry with this name, or with a version of it; None if there is none."""
    for entry in reversed(list_entries(root)):
        is_named = name in (entry.name, entry.name.partition("/")[0])
        if entry.kind == kind and is_named and (version is None or version in entry.versions):
            return entry
    return None


def list_removed_versions(root: Path, model: str) -> list[int]:
    """List the versions of a model that were ever removed, also those that were deleted since."""
    entries = [e for e in _read_entries(root) if e.kind == "models" and e.name.partition("/")[0] == model]
    return [version for entry in entries for version in entry.versions]


def complete_entries(root: Path) -> None:
    """Complete what a process that died has begun, under the lock of the bin."""
    files.remove_stale_drafts(root / "bin")
    for entry in _read_entries(root):
        folder = root / "bin" / entry.id
        if entry.is_emptied:
            for number in range(len(entry.paths)):
                mirror.remove_path(folder / str(number))
        elif (folder / "0").exists():
            parent = Path(entry.paths[0]).parent  # elsewhere are sources of edits, which a newer output may have again
            _move_in(root, replace(entry, paths=tuple(path for path in entry.paths if Path(path).parent == parent)))
        else:  # not removed yet, or restored
            mirror.remove_path(folder)


def find_versions(folder: Path) -> list[int]:
    """Return the versions in the folder of a model, or the one that the folder is."""
    return [int(folder.name)] if (folder / "card.json").is_file() else list_versions(folder)


def count_bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    found = [path] if path.is_file() else path.rglob("*")
    return sum(file.lstat().st_size for file in found if file.is_file())


def _move_in(root: Path, entry: BinEntry) -> None:
    """Move the paths that are not in the bin yet; something new at a path that was already moved stays."""
    for number, path in enumerate(entry.paths):
        target = root / "bin" / entry.id / str(number)
        if (root / path).exists() and not target.exists():
            _move_path(root / path, target)


def _move_path(source: Path, target: Path) -> None:
    with files.translate_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        mirror.move_path(source, target)
    files.sync_to_disk(target.parent)
    files.sync_to_disk(source.parent)


def _write_entry(folder: Path, entry: BinEntry) -> None:
    manifest.write_json(folder / "entry.json", to_table(entry))


def _read_entries(root: Path) -> list[BinEntry]:
    folders = sorted((root / "bin").iterdir()) if (root / "bin").is_dir() else []
    return [
        _parse_entry(folder / "entry.json")
        for folder in folders
        if is_timed_id(folder.name) and (folder / "entry.json").is_file()
    ]


def _parse_entry(path: Path) -> BinEntry:
    entry = parse_settings(BinEntry, manifest.read_json(path), "entry")
    is_inside = all(not Path(p).is_absolute() and ".." not in Path(p).parts for p in entry.paths)
    if entry.id != path.parent.name or not entry.paths or not is_inside:
        raise manifest.damaged_error(path, "it is not as it was written")
    return entry
