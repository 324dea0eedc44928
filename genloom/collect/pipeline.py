"""The processing of one batch of documents, independent of all others: read, normalise, sketch."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genloom.collect import preparation
from genloom.collect.duplicates import Sketches
from genloom.collect.options import Note, Options
from genloom.collect.preparation import Counters, Document, Preparation, RawDocument, Skip
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError


@dataclass(frozen=True)
class PrepareJob:
    """The input of a worker: small files to read, or raw documents; they make `bytes_consumed` bytes of the sources."""

    medium: str
    options: Options
    bytes_consumed: int = 0
    files: tuple[SourceFile, ...] = ()
    raw_documents: tuple[RawDocument, ...] = ()
    notes: tuple[Note, ...] = ()  # on what was read


@dataclass
class PreparedBatch:
    """The output of a worker; `sketches` has a row for each document.

    That of a part of a cluster has its documents and sketches in `part_files`.
    """

    bytes_consumed: int
    documents: list[Document] = field(default_factory=list)
    sketches: Sketches | None = None
    documents_read: int = 0
    drop_counts: Counter[str] = field(default_factory=Counter)
    counters: Counters = field(default_factory=lambda: defaultdict(Counter))
    notes: list[Note] = field(default_factory=list)
    part_files: tuple[Path, Path] | None = None


def prepare_documents(
    job: PrepareJob, watch: Callable[[SourceFile], AbstractContextManager[None]] = lambda _: nullcontext()
) -> PreparedBatch:
    """Read and process the documents of a job; each file is read inside `watch(file)`."""
    batch, sketch_inputs = PreparedBatch(job.bytes_consumed, notes=list(job.notes)), []
    preparer = preparation.get_preparation(job.medium)
    for file in job.files:
        with watch(file):
            _add_documents(
                preparer, read_unchanged_file(file, job.options, preparer), batch, sketch_inputs, job.options
            )
    _add_documents(preparer, job.raw_documents, batch, sketch_inputs, job.options)
    digests = [document.digest for document in batch.documents]
    batch.sketches = preparer.compute_sketches(sketch_inputs, digests, should_find_near=job.options.near_duplicates > 0)
    return batch


def read_unchanged_file(file: SourceFile, options: Options, preparer: Preparation) -> Iterator[RawDocument | Note]:
    """Yield the documents of a file; a note, if something else has taken its place since it was found."""
    if file.is_replaced():
        yield Note.from_error(file.name, GenloomError("collect.file_replaced"))
    else:
        yield from preparer.read(file, options)


def _add_documents(
    preparer: Preparation,
    raw_documents: Iterable[RawDocument | Note],
    batch: PreparedBatch,
    sketch_inputs: list[Any],
    options: Options,
) -> None:
    for raw in raw_documents:
        if isinstance(raw, Note):
            batch.notes.append(raw)
            continue
        batch.documents_read += 1
        try:
            document, sketch_input = preparer.build_document(raw, options, batch.counters)
        except Skip as skip:
            batch.drop_counts[str(skip)] += 1
        except ValueError as error:
            batch.notes.append(Note.from_error(raw.source, error, is_skipped=raw.is_whole_file))
        else:
            kept_values = getattr(raw, "kept_values", None)  # of a table
            batch.documents.append(replace(document, kept_values=kept_values) if kept_values else document)
            sketch_inputs.append(sketch_input)
