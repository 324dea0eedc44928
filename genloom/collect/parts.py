"""Parts of a collection, prepared on the machines of a cluster and kept in files until the data set is written.

A part whose summary is there is complete: a collection that ended early begins with the parts that it has.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
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
from genloom.errors import GenloomError
from genloom.store import files as store_files

PART_BYTES, PART_FILES = 64 << 20, 4096  # of a part; a larger file is a part of its own
STALE_SECONDS = 14 * 24 * 3600.0  # after which the parts of a collection that was not continued are removed


@contextmanager
def open_parts_folder(root: Path, files: Sequence[SourceFile], options: Options, medium: str) -> Generator[Path]:
    """Yield the folder of the parts of a collection; it is removed at the end, but stays if the block fails."""
    remove_stale_parts(root)
    folder = root / compute_parts_key(files, options, medium)
    with store_files.translate_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def compute_parts_key(files: Sequence[SourceFile], options: Options, medium: str) -> str:
    """Return a digest of everything that the parts depend on: the files as they are, the options and this code."""
    described = [[str(f.path), f.name, f.size, f.format, f.path.stat().st_mtime_ns] for f in files]
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


def iter_parts(
    files: Sequence[SourceFile], options: Options, medium: str, folder: Path, cluster: Cluster
) -> Iterator[PreparedBatch]:
    """Prepare the files in parts on the machines of the cluster; yield the parts in a fixed order."""
    arguments = [(medium, options, part, folder, f"part-{number:06}") for number, part in enumerate(split_parts(files))]
    for name in cluster.map_tasks(prepare_part, arguments, "part"):
        yield read_part(folder, name)


def prepare_part(medium: str, options: Options, files: tuple[SourceFile, ...], folder: Path, name: str) -> str:
    """Read and prepare the files of a part into `folder`, unless they are there; return the name of the part.

    Raises GenloomError if a file is not the one that the collection found: this machine does not see it.
    """
    if (folder / f"{name}.json").exists():
        return name
    licence.find_folder_licence.cache_clear()
    for file in files:
        check_visible(file)
    summary = PreparedBatch(sum(file.size for file in files))
    drafts = [folder / f".{name}-{secrets.token_hex(4)}.{kind}" for kind in ("documents", "sketches")]
    with store_files.translate_errors(folder):
        try:
            writer = SpoolWriter(*drafts)
            for batch in iter_batches(files, options, medium, num_workers=1):
                add_counts(summary, batch)
                if batch.documents and batch.sketches is not None:
                    writer.write(batch.documents, batch.sketches)
            writer.close()
            for draft, final in zip(drafts, list_part_files(folder, name), strict=True):
                os.replace(draft, final)
        finally:
            for draft in drafts:
                draft.unlink(missing_ok=True)
        store_files.write_atomic(folder / f"{name}.json", json.dumps(summarize_counts(summary)))
    return name


def check_visible(file: SourceFile) -> None:
    """Raise GenloomError if this machine does not see a file as the collection found it."""
    try:
        is_same = file.path.stat().st_size == file.size
    except OSError:
        is_same = False
    if not is_same:
        raise GenloomError("cluster.source_not_shared", path=file.path)


def list_part_files(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the paths of the documents and of the sketches of a part."""
    return folder / f"{name}.documents", folder / f"{name}.sketches"


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
    content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    batch = PreparedBatch(
        content["bytes_consumed"],
        documents_read=content["documents_read"],
        drop_counts=Counter(content["drop_counts"]),
        notes=[Note(*note) for note in content["notes"]],
        part_files=list_part_files(folder, name),
    )
    for counter, counts in content["counters"].items():
        batch.counters[counter] += Counter(counts)
    return batch
