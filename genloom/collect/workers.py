"""Process jobs in order, in several processes if that pays, with few jobs in memory at a time.

Files whose reading may cost more than their size suggests, such as documents, tables, archives and pictures, are only
read in a process with limits of memory and time, also in a small collection: one hostile file costs one note.
"""

import multiprocessing
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import ModuleType

from genloom import limited_process
from genloom.collect.options import Note, Options
from genloom.collect.pipeline import PreparedBatch, PrepareJob, prepare_documents, read_unchanged_file
from genloom.collect.preparation import RawDocument, get_preparation
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError
from genloom.limited_process import LimitedProcess, LimitExceeded
from genloom.option_names import get_caller
from genloom.processors import count_processors

MIN_PARALLEL_BYTES = 24 << 20  # below, starting processes and loading the language model there takes longer
MAX_QUEUED_PER_WORKER = 2
JOB_BYTES = 2 << 20  # of documents or files in one job
JOB_DOCUMENTS = 1024
PLAIN_FORMATS = ("text", "builtin")  # read in a time and memory that follow from the size


def choose_num_workers(num_workers: int, total_bytes: int) -> int:
    """Return the number of processes: the given one, else one per processor, but 1 for small collections."""
    return num_workers or (count_processors() if total_bytes >= MIN_PARALLEL_BYTES else 1)


def map_jobs(jobs: Iterable[PrepareJob], num_workers: int) -> Iterator[PreparedBatch]:
    """Yield the batches of all jobs in order. A file whose reader crashes or exceeds a limit is skipped with a note."""
    with LimitedProcess() as process:
        if num_workers == 1:
            for job in jobs:
                if not needs_limits(job):
                    yield prepare_documents(job)
                    continue
                try:
                    yield process.call(prepare_watched, job)
                except LimitExceeded as limit:
                    yield from _retry_files(job, limit, process)
            return
        pool = _create_pool(num_workers)
        futures: deque[tuple[PrepareJob, Future[PreparedBatch]]] = deque()
        try:
            for job in jobs:
                futures.append((job, _submit_job(pool, job)))
                if len(futures) > MAX_QUEUED_PER_WORKER * num_workers:
                    pool = yield from _pop_result(futures, pool, num_workers, process)
            while futures:
                pool = yield from _pop_result(futures, pool, num_workers, process)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pop_result(
    futures: deque[tuple[PrepareJob, Future[PreparedBatch]]],
    pool: ProcessPoolExecutor,
    num_workers: int,
    process: LimitedProcess,
) -> Generator[PreparedBatch, None, ProcessPoolExecutor]:
    job, future = futures.popleft()
    try:
        yield future.result()
    except BrokenProcessPool:
        # One of the running jobs ended its process: all of them are repeated, the first one file by file.
        pool.shutdown(wait=True, cancel_futures=True)
        yield from _retry_files(job, None, process)
        pool = _create_pool(num_workers)
        resubmitted_jobs = [(queued_job, _submit_job(pool, queued_job)) for queued_job, _ in futures]
        futures.clear()
        futures.extend(resubmitted_jobs)
    return pool


def _retry_files(job: PrepareJob, limit: LimitExceeded | None, process: LimitedProcess) -> Iterator[PreparedBatch]:
    """Yield the batches of a job one by one; a note takes the place of what ends the process again.

    `limit` is the one that the job exceeded in a process of its own, where one file cannot have harmed another.
    """
    if limit is not None and len(job.files) + len(job.raw_documents) == 1:
        for one in (*job.files, *job.raw_documents):
            yield PreparedBatch(job.bytes_consumed, notes=[*job.notes, _note_limit(one, limit)])
        return
    for file in job.files:
        yield _retry_job(replace(job, files=(file,), raw_documents=(), bytes_consumed=0), file, process)
    if not needs_limits(replace(job, files=())):
        yield prepare_documents(replace(job, files=()))
        return
    for raw in job.raw_documents:
        yield _retry_job(replace(job, files=(), raw_documents=(raw,), bytes_consumed=0, notes=()), raw, process)
    yield PreparedBatch(job.bytes_consumed, notes=list(job.notes))


def _retry_job(job: PrepareJob, one: SourceFile | RawDocument, process: LimitedProcess) -> PreparedBatch:
    try:
        return process.call(prepare_watched, job)
    except LimitExceeded as limit:
        return PreparedBatch(0, notes=[_note_limit(one, limit)])


def _note_limit(one: SourceFile | RawDocument, limit: LimitExceeded, is_skipped: bool = True) -> Note:
    if limit.is_time:
        error = GenloomError("collect.time_limit", seconds=f"{limited_process.limits.seconds_for(one.size):.0f}")
    else:
        error = GenloomError("collect.reader_crashed", limit=limited_process.limits.memory_bytes >> 30)
    if isinstance(one, SourceFile):
        return Note.from_error(one.name, error, is_skipped)
    return Note.from_error(one.source, error, one.is_whole_file)


def needs_limits(job: PrepareJob) -> bool:
    """Return whether a job may take far more time or memory than its size suggests."""
    has_encoded = bool(job.raw_documents) and get_preparation(job.medium).decodes_documents
    return has_encoded or any(map(is_complex, job.files))


def is_complex(file: SourceFile) -> bool:
    """Return whether reading the file may take far more time or memory than its size suggests."""
    is_plain = file.format in PLAIN_FORMATS and not file.is_gzipped
    return not is_plain and limited_process.is_complex(file.path, file.size)


def prepare_watched(job: PrepareJob) -> PreparedBatch:
    """Read and process the documents of a job in a process that ends if a complex file takes too long."""
    if job.raw_documents and needs_limits(job):
        with limited_process.limit_time(limited_process.limits.seconds_for(sum(raw.size for raw in job.raw_documents))):
            return prepare_documents(job)
    return prepare_documents(job, _limit_file)


@contextmanager
def _limit_file(file: SourceFile) -> Generator[None]:
    if not is_complex(file):
        yield
        return
    with limited_process.limit_time(limited_process.limits.seconds_for(file.size)):
        yield


def read_streamed(
    file: SourceFile, options: Options, medium: str, process: LimitedProcess
) -> Iterator[list[RawDocument | Note]]:
    """Yield the documents of a large file in portions of a job; a complex file is read in the process."""
    if not is_complex(file):
        yield from read_portions(file, options, medium, None)
        return
    has_documents = False
    try:
        for portion in process.stream(
            read_portions, file, options, medium, limited_process.limits.seconds_for(file.size)
        ):
            has_documents = has_documents or not all(isinstance(raw, Note) for raw in portion)
            yield portion
    except LimitExceeded as limit:
        yield [_note_limit(file, limit, is_skipped=not has_documents)]


def read_portions(
    file: SourceFile, options: Options, medium: str, seconds: float | None
) -> Iterator[list[RawDocument | Note]]:
    """Yield the documents of a file in portions of a job, each of which may take some seconds to read."""
    raw_documents, num_bytes = read_unchanged_file(file, options, get_preparation(medium)), 0
    max_bytes = limited_process.limits.output_bytes_for(file.size)
    while portion := _read_portion(raw_documents, seconds):
        yield portion
        num_bytes += sum(raw.size for raw in portion if not isinstance(raw, Note))
        if num_bytes > max_bytes:
            factor = limited_process.limits.output_factor
            error = GenloomError("collect.output_limit", limit=max_bytes >> 20, factor=factor)
            yield [Note.from_error(file.name, error, is_skipped=False)]
            return


def _read_portion(raw_documents: Iterator[RawDocument | Note], seconds: float | None) -> list[RawDocument | Note]:
    portion: list[RawDocument | Note] = []
    size = 0
    with nullcontext() if seconds is None else limited_process.limit_time(seconds):
        for raw in raw_documents:
            portion.append(raw)
            size += 0 if isinstance(raw, Note) else raw.size
            if size >= JOB_BYTES or len(portion) >= JOB_DOCUMENTS:
                break
    return portion


def _create_pool(num_workers: int) -> ProcessPoolExecutor:
    # spawn: the fork of a process with threads (of a trained model, say) can hang
    return ProcessPoolExecutor(
        num_workers,
        multiprocessing.get_context("spawn"),
        initializer=limited_process.limit_process,
        initargs=(limited_process.limits, get_caller()),
    )


def _submit_job(pool: ProcessPoolExecutor, job: PrepareJob) -> Future[PreparedBatch]:
    """Submit a job. A process that starts for it would run the caller's main script a second time, if it found it."""
    main_module = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        return pool.submit(prepare_watched, job)
    finally:
        sys.modules["__main__"] = main_module
