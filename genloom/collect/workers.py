"""Process jobs in order, in several processes if that pays, with few jobs in memory at a time.

Files whose readers are complex (PDF, Word, EPUB, large web pages, SVG) are only read in a process with limits of memory
and time, also in a small collection: one hostile file costs one note.
"""

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from genloom.collect.options import Note
from genloom.collect.pipeline import PreparedBatch, PrepareJob, prepare_documents
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError

MIN_PARALLEL_BYTES = 24 << 20  # below, starting processes and loading the language model there takes longer
MAX_QUEUED_PER_WORKER = 2
MAX_READ_SECONDS = 30.0  # of a file, by the clock
MAX_READ_SECONDS_PER_MB = 10.0  # more of a large one
MAX_READ_BYTES = 3 << 30  # of memory, beyond what a process has when it starts
COMPLEX_SUFFIXES = (".pdf", ".docx", ".epub", ".svg")
PAGE_SUFFIXES = (".html", ".htm", ".xhtml")
MIN_COMPLEX_PAGE_BYTES = 32 << 10  # a smaller web page takes no time, however it is made
_TIME_LIMIT_STATUS = 1  # with which faulthandler ends a process
_WATCH_LIMITS = (MAX_READ_SECONDS, MAX_READ_SECONDS_PER_MB)  # of this process


def choose_num_workers(num_workers: int, total_bytes: int) -> int:
    """Return the number of processes: the given one, else one per processor, but 1 for small collections."""
    num_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return num_workers or (num_processors if total_bytes >= MIN_PARALLEL_BYTES else 1)


def map_jobs(jobs: Iterable[PrepareJob], num_workers: int) -> Iterator[PreparedBatch]:
    """Yield the batches of all jobs in order. A file whose reader crashes or exceeds a limit is skipped with a note."""
    with LimitedProcess() as limited_process:
        if num_workers == 1:
            for job in jobs:
                if not any(map(is_complex, job.files)):
                    yield prepare_documents(job)
                elif (batch := limited_process.run(job)) is not None:
                    yield batch
                else:
                    yield from _retry_files(job, limited_process)
            return
        pool = _create_pool(num_workers)
        futures: deque[tuple[PrepareJob, Future[PreparedBatch]]] = deque()
        try:
            for job in jobs:
                futures.append((job, pool.submit(prepare_watched, job)))
                if len(futures) > MAX_QUEUED_PER_WORKER * num_workers:
                    pool = yield from _pop_result(futures, pool, num_workers, limited_process)
            while futures:
                pool = yield from _pop_result(futures, pool, num_workers, limited_process)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pop_result(
    futures: deque[tuple[PrepareJob, Future[PreparedBatch]]],
    pool: ProcessPoolExecutor,
    num_workers: int,
    limited_process: "LimitedProcess",
) -> Generator[PreparedBatch, None, ProcessPoolExecutor]:
    job, future = futures.popleft()
    try:
        yield future.result()
    except BrokenProcessPool:
        # One of the running jobs ended its process: all of them are repeated, the first one file by file.
        pool.shutdown(wait=True, cancel_futures=True)
        yield from _retry_files(job, limited_process)
        pool = _create_pool(num_workers)
        resubmitted_jobs = [(queued_job, pool.submit(prepare_watched, queued_job)) for queued_job, _ in futures]
        futures.clear()
        futures.extend(resubmitted_jobs)
    return pool


def _retry_files(job: PrepareJob, limited_process: "LimitedProcess") -> Iterator[PreparedBatch]:
    """Yield the batches of a job file by file; a note takes the place of a file that ends the process again."""
    yield prepare_documents(replace(job, files=()))  # documents that were read already cannot crash the reader
    for file in job.files:
        batch = limited_process.run(replace(job, files=(file,), raw_documents=(), bytes_consumed=0))
        if batch is not None:
            yield batch
        elif limited_process.has_exceeded_time:
            error = GenloomError("collect.time_limit", seconds=f"{_limit_seconds(file, *_WATCH_LIMITS):.0f}")
            yield PreparedBatch(0, notes=[Note.from_error(file.name, error)])
        else:
            error = GenloomError("collect.reader_crashed", limit=MAX_READ_BYTES >> 30)
            yield PreparedBatch(0, notes=[Note.from_error(file.name, error)])


def is_complex(file: SourceFile) -> bool:
    """Return whether reading the file may take far more time or memory than its size suggests."""
    suffix = file.path.suffix.lower()
    return suffix in COMPLEX_SUFFIXES or (suffix in PAGE_SUFFIXES and file.size >= MIN_COMPLEX_PAGE_BYTES)


def prepare_watched(job: PrepareJob) -> PreparedBatch:
    """Read and process the documents of a job in a process that ends if a complex file takes too long."""
    return prepare_documents(job, _watch)


@contextmanager
def _watch(file: SourceFile) -> Generator[None]:
    if not is_complex(file):
        yield
        return
    # A thread in C ends the process, also while a library holds Python's lock.
    with open(os.devnull, "w") as null:
        faulthandler.dump_traceback_later(_limit_seconds(file, *_WATCH_LIMITS), exit=True, file=null)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _limit_seconds(file: SourceFile, seconds: float, seconds_per_mb: float) -> float:
    return seconds + seconds_per_mb * file.size / 1e6


def _create_pool(num_workers: int) -> ProcessPoolExecutor:
    # spawn: the fork of a process with threads (of a trained model, say) can hang
    return ProcessPoolExecutor(
        num_workers,
        multiprocessing.get_context("spawn"),
        initializer=_set_up_worker,
        initargs=(MAX_READ_BYTES, *_WATCH_LIMITS),
    )


def _set_up_worker(max_bytes: int, seconds: float, seconds_per_mb: float) -> None:
    """Leave Ctrl-C to the parent, and limit this process's memory and the time for a file."""
    global _WATCH_LIMITS
    _WATCH_LIMITS = (seconds, seconds_per_mb)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ImportError, OSError, ValueError):  # a limit that this system lacks
        import resource

        import psutil

        # Of the data alone: libraries reserve addresses that they never use.
        limit = psutil.Process().memory_info().data + max_bytes
        _, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
        if hard_limit == resource.RLIM_INFINITY or limit < hard_limit:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard_limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@dataclass
class LimitedProcess:
    """A process with limits of memory and time that runs one job at a time; it starts when it is first needed.

    It is no child by multiprocessing, which would run the main script of whoever calls this library a second time.
    """

    has_exceeded_time: bool = False  # whether that ended the last job
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _connection: Connection | None = field(default=None, repr=False)

    def __enter__(self) -> "LimitedProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, job: PrepareJob) -> PreparedBatch | None:
        """Return the batch of a job; None if it ended the process."""
        self.has_exceeded_time = False
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._connection is not None
        try:
            self._connection.send(job)
            return self._connection.recv()
        except (EOFError, ConnectionError):
            self._connection.close()
            self.has_exceeded_time = self._process.wait() == _TIME_LIMIT_STATUS
            self._process = self._connection = None
            return None

    def _start(self) -> None:
        self._connection, child_connection = multiprocessing.Pipe()
        arguments = (child_connection.fileno(), MAX_READ_BYTES, *_WATCH_LIMITS)
        script = f"from genloom.collect.workers import serve_jobs; serve_jobs{arguments!r}"
        with child_connection:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", script],
                pass_fds=[child_connection.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None


def serve_jobs(fd: int, *limits: Any) -> None:
    """Run the jobs that come over a connection until it is closed; the main function of a LimitedProcess."""
    with Connection(fd) as connection, suppress(EOFError, ConnectionError):
        _set_up_worker(*limits)
        while True:
            connection.send(prepare_watched(connection.recv()))
