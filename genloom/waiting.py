"""Waiting of the threads of a computation for each other: they spin on an idle machine, and sleep on a busy one.

They meet many times in a training step. OpenMP lets the early ones spin for milliseconds, which is fastest on an idle
machine; on a busy one they keep the processor from the very thread that they wait for. So while other programs take
processors away, our threads sleep instead. Unlike fewer threads, this changes no bit of a result.
"""

import ctypes
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch

from genloom.processors import count_allowed_processors
from genloom.running_time import read_waiting_seconds

POLL_SECONDS = 0.25
BUSY_SHARE = 0.04  # of the time, per processor, that threads waited for one: from here on, they sleep
IDLE_SHARE, IDLE_SECONDS = 0.01, 2.0  # below this share for so long, they spin again
HOLDER_NAME = "genloom-sleeping-threads"  # of the thread that exists while the others sleep
MAX_ADDED_THREADS = 8  # that do nothing, to make the others sleep


@dataclass
class WaitingPolicy:
    """Whether threads that wait for each other sleep or spin, by how long they waited for a processor lately."""

    should_sleep: bool = False
    idle_since: float | None = None

    def update(self, waiting_share: float, now: float) -> bool:
        """Return whether to sleep, after a time of which each thread waited this share for a processor."""
        if waiting_share >= BUSY_SHARE:
            self.should_sleep = True
        self.idle_since = None if waiting_share >= IDLE_SHARE else now if self.idle_since is None else self.idle_since
        if self.idle_since is not None and now - self.idle_since >= IDLE_SECONDS:
            self.should_sleep = False
        return self.should_sleep


class SleepingThreads:
    """While open, OpenMP's threads sleep as soon as they wait.

    libgomp hardly spins while it has more threads than there are processors; this class adds some that do nothing.
    """

    def __init__(self, library: ctypes.CDLL, num_added: int) -> None:
        self._done, started = threading.Event(), threading.Event()
        # An empty parallel region starts the threads; they belong to this thread, and end with it.
        do_nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)

        def hold() -> None:
            library.GOMP_parallel(do_nothing, None, ctypes.c_uint(num_added + 1), ctypes.c_uint(0))
            started.set()
            self._done.wait()

        self._thread = threading.Thread(target=hold, name=HOLDER_NAME, daemon=True)
        self._thread.start()
        started.wait()

    def close(self) -> None:
        self._done.set()
        self._thread.join()


_watched_process = 0


def watch_processors() -> None:
    """From now on, let this process's threads sleep or spin as the load of the machine demands.

    Where the environment says how they wait, by the user or because of a quota, that remains.
    """
    global _watched_process
    is_chosen = any(name in os.environ for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"))
    if is_chosen or _watched_process == os.getpid() or count_allowed_processors() == 1:
        return
    library = load_openmp()
    if library is None or read_waiting_seconds() is None:
        return
    _watched_process = os.getpid()  # a forked process has none of its parent's threads
    threading.Thread(target=_watch_waits, args=(library,), name="genloom-processors", daemon=True).start()


def load_openmp() -> ctypes.CDLL | None:
    """Return torch's own OpenMP library; None if it is not libgomp."""
    for path in find_openmp():
        with suppress(OSError):
            return ctypes.CDLL(str(path))
    return None


def find_openmp() -> list[Path]:
    """Return torch's own OpenMP library if it has one: the threads of two libraries in one process would compete."""
    return sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))


def _watch_waits(library: ctypes.CDLL) -> None:
    policy, sleeping, pause = WaitingPolicy(), None, threading.Event()
    previous_at, previous_waiting = monotonic(), read_waiting_seconds() or 0.0
    while True:
        pause.wait(POLL_SECONDS)
        now, waiting, num_processors = monotonic(), read_waiting_seconds() or 0.0, count_allowed_processors()
        share = max(waiting - previous_waiting, 0.0) / (now - previous_at) / num_processors
        previous_at, previous_waiting = now, waiting
        should_sleep = policy.update(share, now)
        if should_sleep and sleeping is None:
            num_threads = count_threads()
            num_added = num_processors - num_threads + 1
            if num_threads > 1 and 0 < num_added <= MAX_ADDED_THREADS:
                sleeping = SleepingThreads(library, num_added)
        elif not should_sleep and sleeping is not None:
            sleeping = sleeping.close()


def count_threads() -> int:
    """Return the number of threads that torch uses now, as a new thread sees it: an old one keeps what it saw first."""
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return counts[0]
