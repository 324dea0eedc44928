"""The work on one batch of documents that needs to know of no other: clean, scrub, judge, sketch."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from genloom.collect.clean import clean
from genloom.collect.conversations import rendered
from genloom.collect.language import language
from genloom.collect.options import Note, Options
from genloom.collect.quality import quality
from genloom.collect.reading import Raw, read
from genloom.collect.scrub import scrub
from genloom.collect.sketch import Sketches, sketch
from genloom.collect.sources import Found
from genloom.types import Message

BETWEEN = "\n\x1e\n"  # the turns of a conversation: cleaned text has no control characters


@dataclass(frozen=True)
class Job:
    """What a worker is handed: small files to read, or documents read already; `consumed` bytes of the sources."""

    options: Options
    limit: int
    consumed: int = 0
    files: tuple[Found, ...] = ()
    raws: tuple[Raw, ...] = ()


@dataclass(frozen=True)
class Document:
    """A document as it will be stored, but for its split."""

    text: str
    digest: bytes  # SHA-256 of the UTF-8 text
    source: str
    licence: str
    language: str
    quality: float
    size: int  # bytes of UTF-8
    turns: tuple[Message, ...] = ()  # of a conversation; `text` shows them


@dataclass
class Batch:
    """What a worker gives back; `sketches` has a row for each document, and is None where there is none."""

    consumed: int
    documents: list[Document] = field(default_factory=list)
    sketches: Sketches | None = None
    seen: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    scrubbed: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    notes: list[Note] = field(default_factory=list)


def prepare(job: Job) -> Batch:
    """Reads, cleans and judges the documents of a job."""
    batch = Batch(job.consumed)
    for found in job.files:
        _take(read(found, job.options, job.limit), batch, job.options)
    _take(job.raws, batch, job.options)
    texts, digests = [d.text for d in batch.documents], [d.digest for d in batch.documents]
    batch.sketches = sketch(texts, digests, near=job.options.near_duplicates > 0)
    return batch


def _take(raws: Iterable[Raw | Note], batch: Batch, options: Options) -> None:
    for raw in raws:
        if isinstance(raw, Note):
            batch.notes.append(raw)
            continue
        batch.seen += 1
        cleaned = [clean(part) for part in ([turn.content for turn in raw.turns] or [raw.text])]
        batch.repaired += any(repaired for _, repaired in cleaned)
        text = BETWEEN.join(part for part, _ in cleaned)
        if not all(part for part, _ in cleaned):
            batch.removed["empty"] += 1
            continue
        code = language(text)
        if options.languages and code not in options.languages:
            batch.removed["other language"] += 1
            continue
        score = quality(text)
        if score < options.min_quality:
            batch.removed["low quality"] += 1
            continue
        if options.scrub:
            text, found = scrub(text, options.scrub)
            batch.scrubbed += found
        turns = tuple(replace(t, content=c) for t, c in zip(raw.turns, text.split(BETWEEN), strict=bool(raw.turns)))
        text = rendered(turns) or text
        data = text.encode("utf-8")
        digest = hashlib.sha256(data).digest()
        batch.documents.append(Document(text, digest, raw.source, raw.licence, code, score, len(data), turns))
