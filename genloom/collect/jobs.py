"""The jobs of a collection: several small files each, or a portion of a large one, in a fixed order."""

from collections.abc import Iterable, Iterator

from genloom.collect.options import Note, Options
from genloom.collect.pipeline import PreparedBatch, PrepareJob
from genloom.collect.sources import SourceFile
from genloom.collect.workers import JOB_BYTES, JOB_DOCUMENTS, map_jobs, read_streamed
from genloom.limited_process import LimitedProcess


def iter_batches(
    files: Iterable[SourceFile], options: Options, medium: str, num_workers: int
) -> Iterator[PreparedBatch]:
    """Read and prepare the files in processes of this machine; yield the batches in a fixed order."""
    with LimitedProcess() as process:
        yield from map_jobs(iter_jobs(files, options, medium, process), num_workers)


def iter_jobs(
    files: Iterable[SourceFile], options: Options, medium: str, process: LimitedProcess
) -> Iterator[PrepareJob]:
    """Yield jobs in order: several small files for a worker to read, or raw documents of a large file."""
    small_files: list[SourceFile] = []
    num_bytes = 0
    for file in files:
        if small_files and (file.is_streamed or num_bytes + file.size > JOB_BYTES or len(small_files) >= JOB_DOCUMENTS):
            yield PrepareJob(medium, options, num_bytes, files=tuple(small_files))
            small_files, num_bytes = [], 0
        if file.is_streamed:
            yield from _iter_streamed_jobs(file, options, medium, process)
        else:
            small_files.append(file)
            num_bytes += file.size
    if small_files:
        yield PrepareJob(medium, options, num_bytes, files=tuple(small_files))


def _iter_streamed_jobs(
    file: SourceFile, options: Options, medium: str, process: LimitedProcess
) -> Iterator[PrepareJob]:
    bytes_left = file.size
    for portion in read_streamed(file, options, medium, process):
        raw_documents = tuple(raw for raw in portion if not isinstance(raw, Note))
        notes = tuple(note for note in portion if isinstance(note, Note))
        # How far a packed file is read is unknown; it never reports more than the rest of its size.
        bytes_consumed = min(sum(raw.size for raw in raw_documents), bytes_left)
        bytes_left -= bytes_consumed
        yield PrepareJob(medium, options, bytes_consumed, raw_documents=raw_documents, notes=notes)
    yield PrepareJob(medium, options, bytes_left)
