"""A workspace on a storage of objects: a local folder that mirrors them, so that every part reads and writes files.

The storage is what counts. Whatever the store commits, a file or a folder, is written there first, the manifest last,
and then takes its place in the folder; so a process that dies leaves either nothing or the whole. `refresh` brings the
folder to the state of the storage. Large files of data sets, models and runs are downloaded when they are first used.

Which of several writers gets a name is decided by the storage: it creates an object only once.
"""

import hashlib
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from genloom.cache_folder import find_cache_folder
from genloom.errors import GenloomError
from genloom.store.storage import ABSENT, ObjectConflict, ObjectState, ObjectStorage, open_storage

Item = TypeVar("Item")
Result = TypeVar("Result")

LEDGER_PREFIX = "ledger/"  # of the objects with the events of the ledger
CLAIM = ".claim"  # the object by which a numbered folder is taken before it is written
_ORIGIN, _INDEX, _FOLDER = "origin.json", "objects.sqlite", "workspace"
_MANIFESTS = ("manifest.json", "card.json", "entry.json", "done.json")  # which make a folder complete
_COMPLETE = {"data": "manifest.json", "models": "card.json"}  # of a version, which is three levels deep
_LAZY_FOLDERS, _LAZY_BYTES = ("data", "models", "runs"), 1 << 20
PARTS_FOLDER = "collecting"  # of parts that a cluster prepares, and reads from the storage itself
_LOCAL_FOLDERS = ("cache", PARTS_FOLDER, LEDGER_PREFIX.rstrip("/"))
_LOCAL_SUFFIXES = (".sqlite", ".sqlite-journal", ".sqlite-wal", ".sqlite-shm", ".sqlite.head.json", ".reserved")
_RUN_FOLDERS = ("codec", "state", "averages")  # of a run, with checkpoints
_RUN_SUFFIXES = (".json", ".jsonl", ".toml", ".html", ".key")  # encoded data are made again where a run continues
_DERIVED = ("newest.json", "champion.json", "active")  # follow from other records: the last writer wins
_TABLE = "CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, token TEXT NOT NULL, size INTEGER NOT NULL)"
_THREADS = 16

_mirrors: dict[Path, "Mirror"] = {}  # those that this process has opened, by their folder


@dataclass(frozen=True, eq=False)
class Mirror:
    """The folder of a workspace, and the storage that it mirrors."""

    storage: ObjectStorage
    folder: Path

    def refresh(self) -> None:
        """Bring the folder to the state of the storage; large files are removed if they changed, and not downloaded."""
        found, known = self._select_visible(self.storage.list_objects()), self._read_index()
        for key in known.keys() - found.keys():
            self._forget_file(key)
        wanted = {
            key: state
            for key, state in found.items()
            if key not in known or known[key].token != state.token or not (self.folder / key).exists()
        }
        lazy = {key: state for key, state in wanted.items() if _is_lazy(key, state.size)}
        for key, state in lazy.items():
            if key in known and known[key].token != state.token:
                (self.folder / key).unlink(missing_ok=True)
        self._write_index(lazy)
        self._download({key: state for key, state in wanted.items() if key not in lazy})

    def fetch(self, path: Path) -> None:
        """Download what is missing of a file, or of all files in a folder."""
        found = self._read_inside(path)
        self._download({key: state for key, state in found.items() if not (self.folder / key).exists()})

    def get_size(self, path: Path) -> int | None:
        """Return the size of a file in the storage; None if it is not there."""
        state = self._read_index(key := self._find_key(path)).get(key)
        return None if state is None else state.size

    @contextmanager
    def publish_file(self, path: Path, source: Path) -> Generator[None]:
        """Write the content of `source` to the storage; the block puts it at its place in the folder.

        Raise GenloomError if another has written the file since it was read here.
        """
        key = self._find_key(path)
        if not is_shared(key):
            yield
            return
        known = self._read_index(key).get(key)
        expected = ABSENT if known is None else known.token
        size = source.stat().st_size
        content = source.read_bytes() if size <= _LAZY_BYTES else source
        try:
            token = self.storage.write(key, content, None if path.name in _DERIVED else expected)
        except ObjectConflict as error:
            raise GenloomError("store.changed_elsewhere", path=key, url=self.storage.url) from error
        yield
        self._write_index({key: ObjectState(size, token)})  # last: until then, `refresh` would download it

    @contextmanager
    def publish_folder(self, draft: Path, final: Path, is_numbered: bool = False) -> Generator[bool]:
        """Write a whole folder to the storage, its manifest last; the block puts it at its place in the folder.

        Yield False if it is complete in the storage, or taken by another. A numbered folder is claimed first: only one
        writer gets a number, also if it dies before the manifest.
        """
        key = self._find_key(final)
        if not is_shared(f"{key}/{_MANIFESTS[0]}"):
            yield True
            return
        written = {} if final.exists() else self._write_folder(draft, key, is_numbered)
        yield bool(written)
        self._write_index(written)

    def _write_folder(self, draft: Path, key: str, is_numbered: bool) -> dict[str, ObjectState]:
        """Write the files of a folder and return their states by key; none if it is there, or taken."""
        paths = [path for path in sorted(draft.rglob("*")) if path.is_file()]
        manifests = [path for path in paths if path.parent == draft and path.name in _MANIFESTS]
        try:
            if is_numbered:
                self.storage.write(f"{key}/{CLAIM}", secrets.token_hex(16).encode(), ABSENT)
            elif any(self.storage.get_token(f"{key}/{path.name}") for path in manifests):
                return {}
            written = dict(
                map_in_threads(lambda path: self._write_draft(path, draft, key), set(paths) - set(manifests))
            )
            for path in manifests:
                written |= dict([self._write_draft(path, draft, key, ABSENT)])
        except ObjectConflict:
            return {}
        return written

    @contextmanager
    def remove(self, path: Path) -> Generator[None]:
        """Remove a file or folder from the storage, manifests first, so that no part passes for the whole.

        The block removes it from the folder.
        """
        keys = list(self._read_inside(path))
        self.storage.remove(sorted(keys, key=lambda name: not _is_manifest(name)))
        yield
        self._delete_rows(keys)

    @contextmanager
    def move(self, source: Path, target: Path) -> Generator[None]:
        """Copy a file or folder within the storage, manifests last, and remove it where it was.

        The block moves it in the folder.
        """
        rows, old_key, new_key = self._read_inside(source), self._find_key(source), self._find_key(target)
        moved = {name: f"{new_key}{name.removeprefix(old_key)}" for name in sorted(rows, key=_is_manifest)}
        states = {new: ObjectState(rows[old].size, self.storage.copy(old, new)) for old, new in moved.items()}
        with self.remove(source):
            yield
            self._write_index(states)

    def _write_draft(self, path: Path, draft: Path, key: str, expected: str | None = None) -> tuple[str, ObjectState]:
        name = f"{key}/{path.relative_to(draft).as_posix()}"
        content = path.read_bytes() if path.stat().st_size <= _LAZY_BYTES else path
        return name, ObjectState(path.stat().st_size, self.storage.write(name, content, expected))

    def _select_visible(self, found: Mapping[str, ObjectState]) -> dict[str, ObjectState]:
        """Return the objects of the workspace, without versions that lack their manifest: they are being written."""
        visible = {}
        for key, state in found.items():
            kind, *rest = key.split("/")
            if not is_shared(key):
                continue
            if kind in _COMPLETE and len(rest) >= 3 and f"{kind}/{rest[0]}/{rest[1]}/{_COMPLETE[kind]}" not in found:
                continue
            visible[key] = state
        return visible

    def _download(self, wanted: Mapping[str, ObjectState]) -> None:
        map_in_threads(self._download_file, wanted)
        self._write_index(wanted)

    def _download_file(self, key: str) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.parent / f".{secrets.token_hex(6)}.draft"
        try:
            self.storage.download(key, draft)
            if key.startswith("keys/"):
                path.parent.chmod(0o700)
                draft.chmod(0o600)
            os.replace(draft, path)
        except FileNotFoundError as error:
            raise GenloomError("store.removed_elsewhere", path=key, url=self.storage.url) from error
        finally:
            draft.unlink(missing_ok=True)

    def _forget_file(self, key: str) -> None:
        """Remove a file that is no longer in the storage, and the folders that become empty."""
        path = self.folder / key
        path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == self.folder or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()
        self._delete_rows([key])

    def _find_key(self, path: Path) -> str:
        return path.absolute().relative_to(self.folder).as_posix()

    def _read_inside(self, path: Path) -> dict[str, ObjectState]:
        """Return the states of the objects of a file, or of all files in a folder, by key."""
        own_key = self._find_key(path)
        found = self._read_index(own_key)
        return {key: state for key, state in found.items() if key == own_key or key.startswith(f"{own_key}/")}

    def _read_index(self, prefix: str = "") -> dict[str, ObjectState]:
        """Return the states of the objects that this machine knows, by key; those whose key begins with a prefix."""
        query = "SELECT key, size, token FROM objects WHERE substr(key, 1, ?) = ?"
        with self._open_index() as connection:
            rows = connection.execute(query, (len(prefix), prefix))
            return {key: ObjectState(size, token) for key, size, token in rows}

    def _write_index(self, states: Mapping[str, ObjectState]) -> None:
        rows = [(key, state.token, state.size) for key, state in states.items()]
        with self._open_index() as connection:
            connection.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", rows)

    def _delete_rows(self, keys: Iterable[str]) -> None:
        with self._open_index() as connection:
            connection.executemany("DELETE FROM objects WHERE key = ?", [(key,) for key in keys])

    @contextmanager
    def _open_index(self) -> Generator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.folder.parent / _INDEX, timeout=60)) as connection, connection:
            connection.execute(_TABLE)
            yield connection


def is_shared(key: str) -> bool:
    """Return whether a file of a workspace is in the storage, and not on one machine only."""
    first, *rest = parts = key.split("/")
    if first in _LOCAL_FOLDERS or any(part.startswith(".") for part in parts) or key.endswith(_LOCAL_SUFFIXES):
        return False
    if first != "runs" or len(rest) < 2:
        return True
    return rest[1] in _RUN_FOLDERS or key.endswith(_RUN_SUFFIXES)


def _is_manifest(key: str) -> bool:
    return key.rpartition("/")[2] in _MANIFESTS


def _is_lazy(key: str, size: int) -> bool:
    return size > _LAZY_BYTES and key.partition("/")[0] in _LAZY_FOLDERS


def map_in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the results of work that waits for the network, in the order of the items."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, items))


def find_mirror(path: Path) -> Mirror | None:
    """Return the mirror whose folder a path is in; None for a path on a disk of its own."""
    for folder, mirror in _mirrors.items():
        if path.is_relative_to(folder):
            return mirror
    return None


def open_mirror(url: str) -> Mirror:
    """Open the mirror of the workspace at a URL, in the cache of this user, in the state of the storage."""
    url = url.rstrip("/")
    base = find_cache_folder() / "workspaces" / hashlib.sha256(url.encode()).hexdigest()[:16]
    (base / _FOLDER).mkdir(parents=True, exist_ok=True)
    base.chmod(0o700)
    if not (base / _ORIGIN).is_file():
        draft = base / f".{secrets.token_hex(6)}.draft"
        draft.write_text(json.dumps({"url": url}) + "\n")
        os.replace(draft, base / _ORIGIN)
    mirror = _mirrors.setdefault(base / _FOLDER, Mirror(open_storage(url), base / _FOLDER))
    mirror.refresh()
    return mirror


def find_workspace_address(root: Path) -> str:
    """Return by which address other machines find the workspace of a folder: that of its storage, or its path."""
    mirror = find_mirror(root)
    return str(root.resolve()) if mirror is None else mirror.storage.url


def is_address(place: str) -> bool:
    """Return whether a place of a workspace is the address of a storage, and no path."""
    return "://" in place


def reopen_mirror(root: Path) -> None:
    """Open the mirror whose folder a workspace is, as its other processes know it by; nothing for another folder."""
    origin = root.parent / _ORIGIN
    if root.name == _FOLDER and root not in _mirrors and origin.is_file():
        _mirrors[root] = Mirror(open_storage(json.loads(origin.read_text())["url"]), root)


def fetch_files(path: Path) -> None:
    """Download what is missing of a file or folder of a workspace on a storage; nothing for one on a disk."""
    if (mirror := find_mirror(path)) is not None:
        mirror.fetch(path)


def refresh_workspace(path: Path) -> None:
    """Bring the workspace of a path to the state of its storage; nothing for one on a disk."""
    if (mirror := find_mirror(path)) is not None:
        mirror.refresh()


def get_stored_size(path: Path) -> int | None:
    """Return the size of a file that is in a storage, and perhaps not downloaded yet; None for others."""
    mirror = find_mirror(path)
    return None if mirror is None else mirror.get_size(path)


def publish_file(path: Path, source: Path) -> AbstractContextManager[None]:
    """Write `source` to the storage as the file at `path`, if it has one; the block puts it there on the disk."""
    mirror = find_mirror(path)
    return nullcontext() if mirror is None else mirror.publish_file(path, source)


def publish_content(path: Path) -> None:
    """Write a file of the folder to the storage, if it has one, as it is now: lines may have been added to it."""
    with publish_file(path, path):
        pass


def publish_folder(draft: Path, final: Path, is_numbered: bool = False) -> AbstractContextManager[bool]:
    """Write a folder to the storage, if it has one, and yield whether it may be at `final`: `Mirror.publish_folder`."""
    mirror = find_mirror(final)
    return nullcontext(True) if mirror is None else mirror.publish_folder(draft, final, is_numbered)


def move_path(source: Path, target: Path) -> None:
    """Rename a file or a folder, after it was copied and removed in the storage that it is mirrored from."""
    mirror = find_mirror(source)
    with nullcontext() if mirror is None else mirror.move(source, target):
        os.rename(source, target)


def remove_path(path: Path) -> None:
    """Remove a file or a folder, also from the storage that it is mirrored from; nothing if it is not there."""
    mirror = find_mirror(path)
    with nullcontext() if mirror is None else mirror.remove(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
