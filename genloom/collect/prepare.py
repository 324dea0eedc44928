"""The work on one batch of documents that needs to know of no other: read, make uniform, sketch."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from genloom.collect import preparation
from genloom.collect.duplicates import Sketches
from genloom.collect.options import Note, Options
from genloom.collect.preparation import Document, Left, Preparation, Raw, Tallies
from genloom.collect.sources import Found


@dataclass(frozen=True)
class Job:
    """What a worker is handed: small files to read, or documents read already; `consumed` bytes of the sources."""

    medium: str
    options: Options
    consumed: int = 0
    files: tuple[Found, ...] = ()
    raws: tuple[Raw, ...] = ()


@dataclass
class Batch:
    """What a worker gives back; `sketches` has a row for each document, and is None where there is none."""

    consumed: int
    documents: list[Document] = field(default_factory=list)
    sketches: Sketches | None = None
    seen: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    tallies: Tallies = field(default_factory=lambda: defaultdict(Counter))
    notes: list[Note] = field(default_factory=list)


def prepare(job: Job) -> Batch:
    """Reads and prepares the documents of a job."""
    batch, likenesses = Batch(job.consumed), []
    prepared = preparation.of(job.medium)
    for found in job.files:
        _take(prepared, prepared.read(found, job.options), batch, likenesses, job.options)
    _take(prepared, job.raws, batch, likenesses, job.options)
    digests = [document.digest for document in batch.documents]
    batch.sketches = prepared.sketch(likenesses, digests, near=job.options.near_duplicates > 0)
    return batch


def _take(
    prepared: Preparation, raws: Iterable[Raw | Note], batch: Batch, likenesses: list[Any], options: Options
) -> None:
    for raw in raws:
        if isinstance(raw, Note):
            batch.notes.append(raw)
            continue
        batch.seen += 1
        try:
            document, likeness = prepared.document(raw, options, batch.tallies)
        except Left as left:
            batch.removed[str(left)] += 1
        except ValueError as error:
            batch.notes.append(Note(raw.source, str(error), skipped=raw.alone))
        else:
            batch.documents.append(document)
            likenesses.append(likeness)
