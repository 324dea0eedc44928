"""Sources on a storage such as S3: their objects are listed here, and downloaded in groups while they are read.

The files have the order, the names and the licences that they would have in a folder, so that the data set is the same.
"""

import re
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from genloom.collect.licence import is_licence_file
from genloom.collect.options import Note
from genloom.collect.slug import escape_name
from genloom.collect.sources import SKIPPED_FOLDERS, SourceFile, StoredObject
from genloom.errors import GenloomError, format_message
from genloom.store.storage import ObjectState, open_storage

_ADDRESS = re.compile(r"(?!https?://|ftp://)[a-z][a-z0-9+.-]*://.")
Parts = tuple[str, ...]  # of a key


def is_stored(source: str | Path) -> bool:
    """Return whether a source is the address of files on a storage, such as s3://bucket/folder."""
    return _ADDRESS.match(str(source)) is not None


def list_stored_files(source: str) -> tuple[list[SourceFile], list[Note]]:
    """Return the files at an address in the order of a folder, and notes on the skipped ones.

    Their paths name them and are not there before `download_files`. Raises GenloomError if there is nothing.
    """
    url = source.rstrip("/")
    found = open_storage(url).list_objects()
    if not found:
        raise GenloomError("collect.no_such_source", source=escape_name(source))
    if set(found) == {""}:  # the address is that of an object
        url, _, name = url.rpartition("/")
        return _build_files(url, "", {(name,): found[""]})
    root_name = url.rpartition("/")[2]
    keys = {tuple(key.split("/")): state for key, state in found.items() if not key.endswith("/")}
    shown = {parts: state for parts, state in keys.items() if not _is_hidden(parts)}
    files, notes = _build_files(url, f"{root_name}/", shown)
    num_licences = sum(is_licence_file(parts[-1]) for parts in shown)
    if num_hidden := len(keys) - len(shown):
        reason = format_message("collect.hidden_files", count=num_hidden)
        notes.append(Note(root_name, reason, is_skipped=False))
    if num_licences:
        reason = format_message("collect.licence_files", count=num_licences)
        notes.append(Note(root_name, reason, is_skipped=False))
    return files, notes


def _is_hidden(parts: Parts) -> bool:
    return any(not part or part.startswith(".") for part in parts) or not SKIPPED_FOLDERS.isdisjoint(parts[:-1])


def _build_files(url: str, prefix: str, found: Mapping[Parts, ObjectState]) -> tuple[list[SourceFile], list[Note]]:
    """Return the files that are no licences, those of a folder before its folders, and notes on the empty ones."""
    files, notes = [], []
    licences = [parts for parts in found if is_licence_file(parts[-1])]
    for parts in sorted(found.keys() - set(licences), key=_find_place):
        state, key = found[parts], "/".join(parts)
        if state.size == 0:
            notes.append(Note.from_error(f"{prefix}{key}", GenloomError("collect.empty_file")))
            continue
        above = tuple("/".join(each) for each in licences if each[:-1] == parts[: len(each) - 1])
        stored = StoredObject(url, key, state.token, above)
        files.append(SourceFile(Path(f"{url}/{key}"), f"{prefix}{key}", state.size, Path(url), stored=stored))
    return files, notes


def _find_place(parts: Parts) -> tuple[tuple[bool, str], ...]:
    """Return the place of a file in the order of a folder: its files, then its folders."""
    return tuple((place < len(parts) - 1, part) for place, part in enumerate(parts))


@contextmanager
def download_files(files: Sequence[SourceFile]) -> Generator[list[SourceFile]]:
    """Download those of the files that are on a storage; yield all with paths to read, which last for the block.

    Raises GenloomError if the storage does not answer, or has another file than when it was listed.
    """
    if not any(file.stored for file in files):
        yield list(files)
        return
    folder = Path(tempfile.mkdtemp(prefix="genloom-sources-"))
    try:
        roots: dict[str, Path] = {}
        yield [_fetch_file(file, file.stored, folder, roots) if file.stored else file for file in files]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch_file(file: SourceFile, stored: StoredObject, folder: Path, roots: dict[str, Path]) -> SourceFile:
    """Download a file and the licences above it into `folder`; `roots` are the folders of the sources there."""
    name = stored.url.rpartition("/")[2]
    root = roots.setdefault(stored.url, folder / str(len(roots)) / name)
    storage = open_storage(stored.url)
    for key in (*stored.licence_keys, stored.key):
        path = root / key
        if path.exists():  # a licence that another file has needed
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            storage.download(key, path)
        except FileNotFoundError as error:
            raise GenloomError("collect.source_changed", source=f"{stored.url}/{key}") from error
    if path.stat().st_size != file.size:
        raise GenloomError("collect.source_changed", source=f"{stored.url}/{stored.key}")
    return replace(file, path=path, root=root)
