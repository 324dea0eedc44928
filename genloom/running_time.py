"""The time in which this process ran: without that in which it was stopped, as by Ctrl-Z or in a paused container.

Limits in minutes count it. No process is told that it was stopped, so a thread looks at the clock twice a second. Where
it could not for some seconds, although no thread of the process used a processor or waited for one, it was stopped.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

POLL_SECONDS = 0.5
MIN_PAUSE_SECONDS = 2.0  # a shorter one counts as running
MIN_UNSURE_SECONDS = 60.0  # where the system does not say how long threads waited for a processor


def read_waiting_seconds() -> float | None:
    """Return how long the threads of this process have waited for a processor in all; None if the system cannot say."""
    nanoseconds, is_known = 0, False
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # the thread has ended
            nanoseconds += int(path.read_text().split()[1])
            is_known = True
    return nanoseconds / 1e9 if is_known else None


@dataclass
class RunningClock:
    """A clock that stands still while the process is stopped; `look` is called every POLL_SECONDS."""

    read_time: Callable[[], float] = time.perf_counter
    read_used: Callable[[], float] = time.process_time
    read_waiting: Callable[[], float | None] = read_waiting_seconds
    paused_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _looked_at: float = field(init=False)
    _busy_seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self._looked_at, self._busy_seconds = self.read_time(), self.read_used() + (self.read_waiting() or 0.0)

    def read_seconds(self) -> float:
        """Return a time whose differences are seconds in which the process was not stopped."""
        with self._lock:
            now = self.read_time()
            if now - self._looked_at >= MIN_PAUSE_SECONDS:  # else the last look is recent
                self._look(now)
            return now - self.paused_seconds

    def look(self) -> None:
        """Take note of the time, and of a pause since the last look."""
        with self._lock:
            self._look(self.read_time())

    def _look(self, now: float) -> None:
        waiting = self.read_waiting()
        busy_seconds = self.read_used() + (waiting or 0.0)
        idle_seconds = now - self._looked_at - POLL_SECONDS - max(busy_seconds - self._busy_seconds, 0.0)
        self._looked_at, self._busy_seconds = now, busy_seconds
        if idle_seconds >= (MIN_UNSURE_SECONDS if waiting is None else MIN_PAUSE_SECONDS):
            self.paused_seconds += idle_seconds


_clock, _watched_process = RunningClock(), 0


def read_running_seconds() -> float:
    """Return a time whose differences are seconds in which this process was not stopped."""
    global _clock, _watched_process
    if _watched_process != os.getpid():  # a forked process has none of its parent's threads
        _watched_process, _clock = os.getpid(), RunningClock(paused_seconds=_clock.paused_seconds)
        threading.Thread(target=_watch_clock, args=(_clock,), name="genloom-running-time", daemon=True).start()
    return _clock.read_seconds()


def _watch_clock(clock: RunningClock) -> None:
    pause = threading.Event()
    while True:
        pause.wait(POLL_SECONDS)
        clock.look()
