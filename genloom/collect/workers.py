"""Process jobs in order, in several processes if that pays, with few jobs in memory at a time."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from genloom.collect.options import Note
from genloom.collect.pipeline import PreparedBatch, PrepareJob, prepare_documents
from genloom.errors import GenloomError

MIN_PARALLEL_BYTES = 24 << 20  # below, starting processes and loading the language model there takes longer
MAX_QUEUED_PER_WORKER = 2


def choose_num_workers(num_workers: int, total_bytes: int) -> int:
    """Return the number of processes: the given one, else one per processor, but 1 for small collections."""
    num_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return num_workers or (num_processors if total_bytes >= MIN_PARALLEL_BYTES else 1)


def map_jobs(jobs: Iterable[PrepareJob], num_workers: int) -> Iterator[PreparedBatch]:
    """Yield the batches of all jobs in order. A file whose reader crashes its process is skipped with a note."""
    if num_workers == 1:
        yield from map(prepare_documents, jobs)
        return
    pool = _create_pool(num_workers)
    futures: deque[tuple[PrepareJob, Future[PreparedBatch]]] = deque()
    try:
        for job in jobs:
            futures.append((job, pool.submit(prepare_documents, job)))
            if len(futures) > MAX_QUEUED_PER_WORKER * num_workers:
                pool = yield from _pop_result(futures, pool, num_workers)
        while futures:
            pool = yield from _pop_result(futures, pool, num_workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pop_result(
    futures: deque[tuple[PrepareJob, Future[PreparedBatch]]], pool: ProcessPoolExecutor, num_workers: int
) -> Generator[PreparedBatch, None, ProcessPoolExecutor]:
    job, future = futures.popleft()
    try:
        yield future.result()
    except BrokenProcessPool:
        # One of the running jobs crashed its process: all of them are repeated, the first one file by file.
        pool.shutdown(wait=True, cancel_futures=True)
        yield from _retry_files(job)
        pool = _create_pool(num_workers)
        resubmitted_jobs = [(queued_job, pool.submit(prepare_documents, queued_job)) for queued_job, _ in futures]
        futures.clear()
        futures.extend(resubmitted_jobs)
    return pool


def _retry_files(job: PrepareJob) -> Iterator[PreparedBatch]:
    yield prepare_documents(replace(job, files=()))  # documents that were read already cannot crash the reader
    for file in job.files:
        with _create_pool(1) as single_pool:
            try:
                yield single_pool.submit(
                    prepare_documents, replace(job, files=(file,), raw_documents=(), bytes_consumed=0)
                ).result()
            except BrokenProcessPool:
                yield PreparedBatch(0, notes=[Note.from_error(file.name, GenloomError("collect.reader_crashed"))])


def _create_pool(num_workers: int) -> ProcessPoolExecutor:
    # spawn: the fork of a process with threads (of a trained model, say) can hang
    return ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), initializer=_ignore_interrupt)


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
