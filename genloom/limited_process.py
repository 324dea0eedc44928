"""A process with limits of memory and time, in which files from outside are read.

A hostile file costs an error: its reader may crash, hang or ask for any amount of memory without harm to the caller.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from genloom.option_names import Caller, get_caller, set_caller
from genloom.running_time import read_running_seconds

Value = TypeVar("Value")
# Of files whose content may be far larger than they are, or may draw or unpack itself many times.
PACKED_SUFFIXES = frozenset(
    ".svg .mxl .pdf .docx .odt .ods .pptx .xlsx .xlsm .epub .eml .parquet .gz .zip".split()  # noqa: SIM905
)
MIN_COMPLEX_BYTES = 32 << 10  # another file, if it is smaller, takes no time however it is made
CLOCK_FACTOR = 10  # times the limit of processor time that a process may take by the clock, as one that sleeps does
_MEMORY_LIMIT_STATUS, _TIME_LIMIT_STATUS, _CLOCK_LIMIT_STATUS = 2, -signal.SIGPROF, -signal.SIGALRM


@dataclass(frozen=True)
class Limits:
    """The resources that reading a file may take."""

    seconds: float = 20.0  # of a processor, not by the clock: so a busy machine and Ctrl-Z cost no file
    seconds_per_mb: float = 4.0  # more of a large file
    memory_bytes: int = 3 << 30  # beyond what a process has when it starts
    output_factor: int = 100  # times its size that a file may unpack to; text compresses to a third or a tenth
    min_output_bytes: int = 64 << 20  # that every file may unpack to

    def seconds_for(self, num_bytes: int) -> float:
        """Return how many seconds of a processor reading a file of this size may take."""
        return self.seconds + self.seconds_per_mb * num_bytes / 1e6

    def output_bytes_for(self, num_bytes: int) -> int:
        """Return how much a file of this size may unpack to."""
        return max(self.min_output_bytes, self.output_factor * num_bytes)


limits = Limits()  # of this process and those that it starts


class LimitExceeded(Exception):
    """The process ended: at a time limit if `is_time` (by the clock if `is_clock`), else by a crash or for memory."""

    def __init__(self, is_time: bool, is_clock: bool = False) -> None:
        super().__init__(is_time, is_clock)
        self.is_time, self.is_clock = is_time, is_clock


def is_complex(path: Path, num_bytes: int) -> bool:
    """Return whether reading a file of this size may take far more time or memory than that suggests."""
    return path.suffix.lower() in PACKED_SUFFIXES or num_bytes >= MIN_COMPLEX_BYTES


@contextmanager
def limit_time(seconds: float) -> Generator[None]:
    """End this process if the block computes longer: the system does, also while a library holds Python's lock."""
    for signal_number, timer, limit in (
        (signal.SIGPROF, signal.ITIMER_PROF, seconds),
        (signal.SIGALRM, signal.ITIMER_REAL, CLOCK_FACTOR * seconds),
    ):
        signal.signal(signal_number, signal.SIG_DFL)
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)


def limit_process(given: Limits, caller: Caller) -> None:
    """Leave Ctrl-C to the parent, limit this process, and name options in its texts as those of the parent."""
    global limits
    limits = given
    set_caller(caller)
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ImportError, OSError, ValueError):  # a limit that this system lacks
        import resource

        import psutil

        # Of the data alone: libraries reserve addresses that they never use.
        limit = psutil.Process().memory_info().data + limits.memory_bytes
        _, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
        if hard_limit == resource.RLIM_INFINITY or limit < hard_limit:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard_limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_with_parent() -> None:
    """End this process when the one that started it has died; without one, do nothing."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait_for_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()


@dataclass
class LimitedProcess:
    """A process that runs one function at a time; it starts when it is first needed, and again after it ended.

    It is not a child of multiprocessing, which would run the caller's main script a second time.
    """

    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _connection: Connection | None = field(default=None, repr=False)

    def __enter__(self) -> "LimitedProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def call(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """Return the result of a module's function, or raise its exception; LimitExceeded if it ended the process."""
        started_at, running_since = time.perf_counter(), read_running_seconds()
        try:
            (value,) = self.stream(_call_once, function, *arguments)
        except LimitExceeded as limit:
            seconds_stopped = time.perf_counter() - started_at - (read_running_seconds() - running_since)
            if not limit.is_clock or seconds_stopped < 1:
                raise
            return self.call(function, *arguments)  # while both processes were stopped, its time ran out
        return value

    def stream(self, function: Callable[..., Iterable[Value]], *arguments: Any) -> Iterator[Value]:
        """Yield what a module's generator function yields, at most one ahead of the caller; errors as for `call`."""
        if self._connection is None:
            self._start()
        has_ended = False
        try:
            self._send((function, arguments))
            while True:
                kind, value = self._receive()
                has_ended = kind != "value"
                if kind == "error":
                    raise value
                if kind == "end":
                    return
                yield value
        finally:
            if not has_ended:  # the process ended, or the caller left early
                self.end()

    def _send(self, request: Any) -> None:
        assert self._connection is not None
        with suppress(ConnectionError):  # which is seen when the answer is read
            self._connection.send(request)

    def _receive(self) -> tuple[str, Any]:
        assert self._connection is not None
        assert self._process is not None
        try:
            return self._connection.recv()
        except (EOFError, ConnectionError) as error:
            status = self._process.wait()
            is_clock = status == _CLOCK_LIMIT_STATUS
            raise LimitExceeded(is_time=is_clock or status == _TIME_LIMIT_STATUS, is_clock=is_clock) from error

    def _start(self) -> None:
        self._connection, child_connection = multiprocessing.Pipe()
        names, call = "Limits, serve_calls", f"serve_calls({child_connection.fileno()}, {limits!r}, {get_caller()!r})"
        script = f"from genloom.limited_process import {names}; {call}"
        with child_connection:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", script],
                pass_fds=[child_connection.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def end(self) -> None:
        """End the process, if it runs."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None


def read_limited(reader: Callable[..., Value], path: Path, *arguments: Any) -> Value:
    """Return what a function of a module makes of a file; in a process with limits if that may take much."""
    if not path.is_file() or not is_complex(path, path.stat().st_size):
        return reader(path, *arguments)
    with LimitedProcess() as process:
        return process.call(_read_watched, reader, path, *arguments)


def _read_watched(reader: Callable[..., Value], path: Path, *arguments: Any) -> Value:
    with limit_time(limits.seconds_for(path.stat().st_size)):
        return reader(path, *arguments)


def serve_calls(fd: int, given: Limits, caller: Caller) -> None:
    """Run the functions that come over a connection until it is closed; the main function of a LimitedProcess."""
    with Connection(fd) as connection, suppress(EOFError, ConnectionError):
        limit_process(given, caller)
        while True:
            function, arguments = connection.recv()
            for message in _run(function, arguments):
                try:
                    connection.send(message)
                except MemoryError:
                    os._exit(_MEMORY_LIMIT_STATUS)


def _run(function: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    try:
        for value in function(*arguments):
            yield "value", value
    except Exception as error:  # which the parent raises
        yield "error", error
    else:
        yield "end", None


def _call_once(function: Callable[..., Value], *arguments: Any) -> Iterator[Value]:
    yield function(*arguments)
