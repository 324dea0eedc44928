"""Maps work over jobs in order, in several processes where that pays, with few jobs in memory at a time."""

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

MIN_PARALLEL_BYTES = 24 << 20  # bytes: to start processes and load the language model there takes more than a second
MAX_QUEUED_PER_WORKER = 2  # jobs waiting for each worker


def choose_num_workers(num_workers: int, total_bytes: int) -> int:
    """How many processes: the number wanted, else one for each processor for all but small collections."""
    num_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return num_workers or (num_processors if total_bytes >= MIN_PARALLEL_BYTES else 1)


def map_jobs(jobs: Iterable[PrepareJob], num_workers: int) -> Iterator[PreparedBatch]:
    """The batches of all jobs in their order. A file whose reader crashes its process is noted and skipped."""
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
        # One of the jobs under way brought its process down: all of them are done again, the first one file by file.
        pool.shutdown(wait=True, cancel_futures=True)
        yield from _retry_files(job)
        pool = _create_pool(num_workers)
        resubmitted_jobs = [(queued_job, pool.submit(prepare_documents, queued_job)) for queued_job, _ in futures]
        futures.clear()
        futures.extend(resubmitted_jobs)
    return pool


def _retry_files(job: PrepareJob) -> Iterator[PreparedBatch]:
    yield prepare_documents(replace(job, files=()))  # what was read already is plain text and crashes nothing
    for file in job.files:
        with _create_pool(1) as single_pool:
            try:
                yield single_pool.submit(prepare_documents, replace(job, files=(file,), raws=(), consumed=0)).result()
            except BrokenProcessPool:
                yield PreparedBatch(0, notes=[Note(file.name, "it crashed the program that reads it; leave it out")])


def _create_pool(num_workers: int) -> ProcessPoolExecutor:
    # spawn: a fork of a process with threads (a trained model's, say) can hang
    return ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), initializer=_ignore_interrupt)


def _ignore_interrupt() -> None:
    """Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
