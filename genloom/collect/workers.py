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
from genloom.collect.prepare import Batch, Job, prepare

PAYS_FROM = 24 << 20  # bytes: to start processes and load the language model there takes more than a second
WAITING = 2  # jobs waiting for each worker


def choose(wanted: int, total_bytes: int) -> int:
    """How many processes: the number wanted, else one for each processor for all but small collections."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return wanted or (processors if total_bytes >= PAYS_FROM else 1)


def done_by(jobs: Iterable[Job], workers: int) -> Iterator[Batch]:
    """The batches of all jobs in their order. A file whose reader crashes its process is noted and skipped."""
    if workers == 1:
        yield from map(prepare, jobs)
        return
    pool = _pool(workers)
    running: deque[tuple[Job, Future[Batch]]] = deque()
    try:
        for job in jobs:
            running.append((job, pool.submit(prepare, job)))
            if len(running) > WAITING * workers:
                pool = yield from _first(running, pool, workers)
        while running:
            pool = yield from _first(running, pool, workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _first(
    running: deque[tuple[Job, Future[Batch]]], pool: ProcessPoolExecutor, workers: int
) -> Generator[Batch, None, ProcessPoolExecutor]:
    job, future = running.popleft()
    try:
        yield future.result()
    except BrokenProcessPool:
        # One of the jobs under way brought its process down: all of them are done again, the first one file by file.
        pool.shutdown(wait=True, cancel_futures=True)
        yield from _one_by_one(job)
        pool = _pool(workers)
        again = [(waiting, pool.submit(prepare, waiting)) for waiting, _ in running]
        running.clear()
        running.extend(again)
    return pool


def _one_by_one(job: Job) -> Iterator[Batch]:
    yield prepare(replace(job, files=()))  # what was read already is plain text and crashes nothing
    for found in job.files:
        with _pool(1) as alone:
            try:
                yield alone.submit(prepare, replace(job, files=(found,), raws=(), consumed=0)).result()
            except BrokenProcessPool:
                yield Batch(0, notes=[Note(found.name, "it crashed the program that reads it; leave it out")])


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: a fork of a process with threads (a trained model's, say) can hang
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_quiet)


def _quiet() -> None:
    """Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
