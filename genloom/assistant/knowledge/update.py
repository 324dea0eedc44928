"""The update of an index: only files that changed are read and embedded again, and those that are gone vanish."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from genloom.assistant.knowledge.documents import find_documents, read_documents
from genloom.assistant.knowledge.index import KnowledgeIndex, StoredFile
from genloom.assistant.knowledge.passages import Passage, split_document
from genloom.collect.options import Note
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError
from genloom.limited_process import LimitedProcess
from genloom.store.clock import get_now
from genloom.store.files import hash_file
from genloom.text_format import format_count

BATCH_PASSAGES = 128  # embedded and stored together: what a process that dies loses at most
MAX_FILES = 200_000

Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass
class UpdateReport:
    """The changes of an update."""

    read: int = 0  # files that are new or changed
    unchanged: int = 0
    removed: int = 0
    embedded: int = 0  # passages
    passages: int = 0  # in the index now
    notes: list[Note] = field(default_factory=list)

    @property
    def files(self) -> int:
        return self.read + self.unchanged

    @property
    def is_changed(self) -> bool:
        return bool(self.read or self.removed)


@dataclass(frozen=True)
class UpdateProgress:
    """A step of an update; the last one has the report."""

    done: float  # bytes of the changed files
    total: int
    note: str = ""
    report: UpdateReport | None = None


@dataclass(frozen=True)
class _ReadFile:
    stored: StoredFile
    passages: tuple[Passage, ...]
    size: int


def iter_update(
    index: KnowledgeIndex, sources: Sequence[Path], excluded_folder: Path, encoder: str, embed: Embed
) -> Iterator[UpdateProgress]:
    """Bring the index up to date with its sources; yield the progress, last with the report.

    Files whose size and time are as before are not opened. The index of another encoder is built again from nothing.

    Raises
    ------
    GenloomError
        collect.no_such_source: a source is gone; knowledge.nothing_readable: no file has text that can be read;
        knowledge.all_gone: no file of the index is there any more.
    """
    found, notes = find_documents(sources, excluded_folder)
    _check_sources(index, found, notes, sources)
    if index.read_facts().get("encoder", encoder) != encoder:
        index.clear()
    stored, report = index.list_files(), UpdateReport(notes=notes)
    gone = sorted(stored.keys() - {file.name for file in found})
    changed: list[SourceFile] = []
    for file in found:
        if _is_unchanged(index, file, stored.get(file.name)):
            report.unchanged += 1
            report.notes += [Note(file.name, text, is_skipped=False) for text in stored[file.name].notes]
        else:
            changed.append(file)
    if gone:
        index.replace_files([], gone)
        report.removed = len(gone)
    total, done = sum(file.size for file in changed), 0
    pending: list[_ReadFile] = []
    with LimitedProcess() as process:
        for file in changed:
            if read := _read_file(file, process, report):
                pending.append(read)
            elif file.name in stored:
                index.replace_files([], [file.name])
            else:
                done += file.size
            if sum(len(each.passages) for each in pending) >= BATCH_PASSAGES:
                for step in _store_files(index, pending, embed, report):
                    yield UpdateProgress(min(total, done + step), total, format_count(report.embedded, "passage"))
                done += sum(each.size for each in pending)
                pending = []
    for step in _store_files(index, pending, embed, report):
        yield UpdateProgress(min(total, done + step), total, format_count(report.embedded, "passage"))
    index.delete_orphans()
    report.passages = index.count_passages()
    if not report.passages:
        raise nothing_readable_error(sources, report.notes)
    index.write_facts(encoder=encoder, sources=[str(source) for source in sources])
    if report.is_changed:
        index.write_facts(changed=get_now().isoformat(timespec="seconds"))
    yield UpdateProgress(total, total, "", report)


def nothing_readable_error(sources: Sequence[Path], notes: Sequence[Note]) -> GenloomError:
    """Return the error for sources without text, with the first reasons."""
    reasons = "; ".join(f"{note.source}: {note.reason}" for note in notes[:3]) or "there are no files"
    return GenloomError("knowledge.nothing_readable", source=", ".join(map(str, sources)), reasons=reasons)


def _check_sources(
    index: KnowledgeIndex, found: Sequence[SourceFile], notes: Sequence[Note], sources: Sequence[Path]
) -> None:
    if len(found) > MAX_FILES:
        raise GenloomError("knowledge.too_many_files", count=len(found), limit=MAX_FILES)
    if found:
        return
    if stored := index.list_files():
        name, source = index.path.parent.name, ", ".join(map(str, sources))
        raise GenloomError("knowledge.all_gone", count=len(stored), source=source, name=name)
    raise nothing_readable_error(sources, notes)


def _is_unchanged(index: KnowledgeIndex, file: SourceFile, stored: StoredFile | None) -> bool:
    """Return whether a file has the content that is stored; note its new time or path where only they changed."""
    if stored is None:
        return False
    try:
        state = file.path.stat()
        if state.st_size != stored.size:
            return False
        is_touched = state.st_mtime_ns != stored.changed
        if is_touched and hash_file(file.path) != stored.digest:
            return False
    except OSError:  # which the reader tells
        return False
    if is_touched or str(file.path) != stored.path:
        index.touch_file(replace(stored, path=str(file.path), size=state.st_size, changed=state.st_mtime_ns))
    return True


def _read_file(file: SourceFile, process: LimitedProcess, report: UpdateReport) -> _ReadFile | None:
    """Return the passages of a file; None, with a note, for one without text or that changes while it is read."""
    try:
        before = file.path.stat()
        digest = hash_file(file.path)
        documents, notes = read_documents(file, process)
        after = file.path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise GenloomError("knowledge.file_changes")
    except OSError as error:
        error = GenloomError("collect.file_unreadable", reason=error.strerror or error)
        report.notes.append(Note.from_error(file.name, error))
        return None
    except GenloomError as error:
        report.notes.append(Note.from_error(file.name, error))
        return None
    passages = tuple(passage for document in documents for passage in split_document(document))
    report.notes += notes
    if not passages:
        if not any(note.is_skipped for note in notes):
            report.notes.append(Note.from_error(file.name, GenloomError("collect.document_without_text")))
        return None
    reasons = tuple(note.reason for note in notes)
    report.read += 1
    stored = StoredFile(file.name, str(file.path), digest, before.st_size, before.st_mtime_ns, reasons)
    return _ReadFile(stored, passages, file.size)


def _store_files(
    index: KnowledgeIndex, read: Sequence[_ReadFile], embed: Embed, report: UpdateReport
) -> Iterator[float]:
    """Embed the passages that the index lacks, and store the files in one transaction; yield the bytes done so far."""
    if not read:
        return
    passages = {passage.digest: passage for each in read for passage in each.passages}
    known = index.find_known(passages)
    missing = [passage for digest, passage in passages.items() if digest not in known]
    size = sum(each.size for each in read)
    for first in range(0, len(missing), BATCH_PASSAGES):
        batch = missing[first : first + BATCH_PASSAGES]
        index.add_passages(batch, embed([passage.searched_text for passage in batch]))
        report.embedded += len(batch)
        yield size * (first + len(batch)) / len(missing)
    index.replace_files([(each.stored, each.passages) for each in read])
