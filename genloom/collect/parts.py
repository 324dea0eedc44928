"""Parts of a collection, prepared on the machines of a cluster and kept in files until the data set is written.

A part whose summary is there is complete: a collection that ended early begins with the parts that it has.
"""

import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genloom import __version__
from genloom.cluster import Cluster
from genloom.collect import licence
from genloom.collect.jobs import iter_batches
from genloom.collect.options import Note, Options
from genloom.collect.pipeline import PreparedBatch
from genloom.collect.sources import SourceFile
from genloom.collect.spool import SpoolWriter
from genloom.collect.stored_sources import download_files
from genloom.errors import GenloomError
from genloom.store import files as store_files
from genloom.store.mirror import PARTS_FOLDER, find_mirror
from genloom.store.storage import open_storage
from genloom.store.workspace import Workspace

PART_BYTES, PART_FILES = 64 << 20, 4096  # of a part; a larger file is a part of its own
STALE_SECONDS = 14 * 24 * 3600.0  # after which the parts of a collection that was not continued are removed


@dataclass(frozen=True)
class PartsPlace:
    """Where parts are kept: in a folder that all machines see or, for a workspace in a bucket, on its storage."""

    folder: Path  # with a storage, of this machine only
    url: str = ""  # of the storage


@contextmanager
def open_parts_place(
    workspace: Workspace, files: Sequence[SourceFile], options: Options, medium: str
) -> Generator[PartsPlace]:
    """Yield the place of the parts of a collection; it is removed at the end, but stays if the block fails."""
    root, mirror = workspace.root / PARTS_FOLDER, find_mirror(workspace.root)
    remove_stale_parts(root)
    key = compute_parts_key(files, options, medium)
    place = PartsPlace(root / key, f"{mirror.storage.url}/{PARTS_FOLDER}/{key}" if mirror else "")
    with store_files.translate_errors(place.folder):
        place.folder.mkdir(parents=True, exist_ok=True)
    yield place
    if place.url:
        storage = open_storage(place.url)
        storage.remove(sorted(storage.list_objects(), key=lambda key: not key.endswith(".json")))  # those last written
    shutil.rmtree(place.folder, ignore_errors=True)


def compute_parts_key(files: Sequence[SourceFile], options: Options, medium: str) -> str:
    """Return a digest of everything that the parts depend on: the files as they are, the options and this code."""
    described = [
        [str(f.path), f.name, f.size, f.format, f.stored.token if f.stored else f.path.stat().st_mtime_ns]
        for f in files
    ]
    content = [__version__, medium, {**asdict(options), "workers": 0}, described]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def remove_stale_parts(root: Path) -> None:
    """Remove the parts of collections that ended early long ago."""
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.is_dir() and time.time() - folder.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def split_parts(files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, ...]]:
    """Yield the files in groups of neighbours that make a part each."""
    part: list[SourceFile] = []
    num_bytes = 0
    for file in files:
        if part and (num_bytes + file.size > PART_BYTES or len(part) >= PART_FILES):
            yield tuple(part)
            part, num_bytes = [], 0
        part.append(file)
        num_bytes += file.size
    if part:
        yield tuple(part)


def iter_fetched_batches(
    files: Sequence[SourceFile], options: Options, medium: str, num_workers: int
) -> Iterator[PreparedBatch]:
    """Read and prepare the files in processes of this machine as `iter_batches` does, those on a storage in parts."""
    is_any_stored = any(file.stored for file in files)
    for part in split_parts(files) if is_any_stored else [files]:
        with download_files(part) as fetched:
            yield from iter_batches(fetched, options, medium, num_workers)


def iter_parts(
    files: Sequence[SourceFile], options: Options, medium: str, place: PartsPlace, cluster: Cluster
) -> Iterator[PreparedBatch]:
    """Prepare the files in parts on the machines of the cluster; yield the parts in a fixed order."""
    arguments = [(medium, options, part, place, f"part-{number:06}") for number, part in enumerate(split_parts(files))]
    for name in cluster.map_tasks(prepare_part, arguments, "part"):
        if place.url:
            fetch_part(place, name)
        with store_files.translate_errors(list_part_files(place.folder, name)[-1]):
            batch = read_part(place.folder, name)
        yield batch


def prepare_part(medium: str, options: Options, files: tuple[SourceFile, ...], place: PartsPlace, name: str) -> str:
    """Read and prepare the files of a part, unless that is done, and put it in its place; return its name.

    Raises GenloomError if a file is not the one that the collection found: this machine does not see it.
    """
    if not place.url:
        write_part(medium, options, files, place.folder, name)
        return name
    storage = open_storage(place.url)
    if not storage.get_token(f"{name}.json"):
        with tempfile.TemporaryDirectory(prefix="genloom-part-") as folder:
            write_part(medium, options, files, Path(folder), name)
            for path in list_part_files(Path(folder), name):
                storage.write(path.name, path)
    return name


def fetch_part(place: PartsPlace, name: str) -> None:
    """Download a part from the storage, unless it is there."""
    storage = open_storage(place.url)
    for path in list_part_files(place.folder, name):
        if not path.exists():
            draft = path.with_name(f".{path.name}")
            storage.download(path.name, draft)
            os.replace(draft, path)


def write_part(medium: str, options: Options, files: tuple[SourceFile, ...], folder: Path, name: str) -> None:
    """Read and prepare the files of a part into `folder`, unless they are there."""
    *contents, summary_path = paths = list_part_files(folder, name)
    if all(path.exists() for path in paths):  # a removal that ended early has left some of them
        return
    licence.find_folder_licence.cache_clear()
    for file in files:
        check_visible(file)
    summary = PreparedBatch(sum(file.size for file in files))
    drafts = [folder / f".{secrets.token_hex(4)}-{path.name}" for path in contents]
    with store_files.translate_errors(folder), download_files(files) as fetched:
        try:
            writer = SpoolWriter(*drafts)
            for batch in iter_batches(fetched, options, medium, num_workers=1):
                add_counts(summary, batch)
                if batch.documents and batch.sketches is not None:
                    writer.write(batch.documents, batch.sketches)
            writer.close()
            for draft, final in zip(drafts, contents, strict=True):
                os.replace(draft, final)
        finally:
            for draft in drafts:
                draft.unlink(missing_ok=True)
        store_files.write_atomic(summary_path, json.dumps(summarize_counts(summary)))


def check_visible(file: SourceFile) -> None:
    """Raise GenloomError if this machine does not see a file on a disk as the collection found it."""
    if file.stored is not None:
        return
    try:
        is_same = file.path.stat().st_size == file.size
    except OSError:
        is_same = False
    if not is_same:
        raise GenloomError("cluster.source_not_shared", path=file.path)


def list_part_files(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Return the paths of the documents, of the sketches and of the summary of a part, which is written last."""
    return folder / f"{name}.documents", folder / f"{name}.sketches", folder / f"{name}.json"


def add_counts(total: PreparedBatch, batch: PreparedBatch) -> None:
    """Add the counts and notes of a batch to those of its part."""
    total.documents_read += batch.documents_read
    total.drop_counts += batch.drop_counts
    for name, counts in batch.counters.items():
        total.counters[name] += counts
    total.notes += batch.notes


def summarize_counts(batch: PreparedBatch) -> dict[str, Any]:
    """Return the counts and notes of a part as values of JSON."""
    return {
        "bytes_consumed": batch.bytes_consumed,
        "documents_read": batch.documents_read,
        "drop_counts": dict(batch.drop_counts),
        "counters": {name: dict(counts) for name, counts in batch.counters.items()},
        "notes": [[note.source, note.reason, note.is_skipped, note.code] for note in batch.notes],
    }


def read_part(folder: Path, name: str) -> PreparedBatch:
    """Return the counts and notes of a complete part, with the paths of its files."""
    documents, sketches, summary = list_part_files(folder, name)
    content = json.loads(summary.read_text(encoding="utf-8"))
    batch = PreparedBatch(
        content["bytes_consumed"],
        documents_read=content["documents_read"],
        drop_counts=Counter(content["drop_counts"]),
        notes=[Note(*note) for note in content["notes"]],
        part_files=(documents, sketches),
    )
    for counter, counts in content["counters"].items():
        batch.counters[counter] += Counter(counts)
    return batch
