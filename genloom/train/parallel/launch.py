"""Start a process for each device of this machine, follow them, and start all of them again after a fault.

A rank can be killed, hang, or be slower than the others. The main process of the run, rank 0, tells what happens in
training; this module only watches. After a fault all ranks start again from the last good checkpoint.
"""

import json
import multiprocessing
import signal
import tempfile
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median

from genloom.errors import GenloomError, format_message
from genloom.store.files import translate_errors
from genloom.train.events import Event, RunResult, RunWarning, StepMetrics
from genloom.train.parallel.config import ParallelConfig
from genloom.train.parallel.worker import Assignment, Execute, Failure, Ping, run_rank

START_METHOD = "spawn"
POLL_SECONDS = 0.5
SETTLE_SECONDS = 1.0  # after the end of a rank, in which others end by it
PAUSE_SECONDS = 5.0  # between two requests for events, after which ranks may have waited for the caller
END_SECONDS = 30.0  # that ranks have to leave each other at the end of a run
STOP_SECONDS = 300.0  # that ranks have to finish their step and save
WAIT_FACTOR = 1.5  # times the timeout, after which ranks give up: this process, which can name the rank, is first
GLOO_TIMEOUT = "Timed out waiting"  # in the error of a rank whose messages do not arrive
SLOW_FACTOR, SLOW_SECONDS, NUM_WORK_SECONDS = 1.5, 0.02, 16  # a straggler, by the median of its last steps
FAULTS_FILE = "faults.jsonl"  # in the folder of the run


@dataclass(frozen=True)
class RankFault:
    """Why all ranks start again, or why one is named."""

    kind: str  # "killed", "failed", "hung", "cut" or "slow"; "error": one that ends the run
    rank: int
    step: int
    detail: str = ""
    trace: str = ""  # of a rank that failed

    def describe(self) -> str:
        facts = {"rank": self.rank, "step": self.step, "detail": self.detail}
        match self.kind:
            case "killed":
                return format_message("train.rank_killed", **facts)
            case "hung":
                return format_message("train.rank_hung", **facts)
            case "cut":
                return format_message("train.rank_cut", **facts)
            case "slow":
                return format_message("train.rank_slow", **facts)
            case _:
                return format_message("train.rank_failed", **facts)


@dataclass
class Rank:
    """A process, and the last that it said."""

    process: BaseProcess
    connection: Connection
    ping: Ping
    heard_at: float
    work_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=NUM_WORK_SECONDS))
    is_named_slow: bool = False
    failure: Failure | None = None

    def take(self, message: Ping | Failure) -> None:
        if isinstance(message, Failure):
            self.failure = message
            return
        if message.work_seconds and message != self.ping:
            self.work_seconds.append(message.work_seconds)
        self.ping = message


@dataclass
class Ranks:
    """The processes of one attempt."""

    ranks: list[Rank]
    config: ParallelConfig
    log: Path  # of faults
    step: int = 0
    has_finished: bool = False
    received_at: float = field(default_factory=time.monotonic)
    resumed_at: float = 0.0  # when the caller last asked for events after a pause, in which ranks wait for it

    @staticmethod
    def start(execute: Execute, assignment: Assignment, config: ParallelConfig, folder: Path, log: Path) -> "Ranks":
        """Start the processes, which meet at a file in this folder."""
        context, ranks = multiprocessing.get_context(START_METHOD), []
        store_file = Path(tempfile.mkdtemp(dir=folder)) / "store"
        for rank in range(assignment.devices):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=run_rank, args=(execute, assignment, rank, store_file, theirs), daemon=True
            )
            with block_interrupts():
                process.start()
            theirs.close()
            now = time.monotonic()
            ranks.append(Rank(process, ours, Ping(0, False, now), now))
        return Ranks(ranks, config, log)

    def follow(self) -> Generator[Event, None, RankFault | None]:
        """Yield the events of the main process until all have ended; return the fault that ended them, if any."""
        while True:
            events = self.receive(POLL_SECONDS)
            fault = None if self.has_finished else self.find_fault()  # before the caller takes its time
            yield from events
            if self.has_finished:
                for rank in self.ranks:
                    rank.process.join(END_SECONDS)
                return None
            if fault is not None:
                return fault
            for number, rank in enumerate(self.ranks):
                if (detail := self.find_slowness(number)) and not rank.is_named_slow:
                    rank.is_named_slow = True
                    fault = RankFault("slow", number, self.step, detail)
                    write_fault(self.log, fault)
                    yield RunWarning(fault.describe())

    def receive(self, seconds: float) -> list[Event]:
        """Return the events that arrive within so many seconds; raise the error that ended training."""
        now, events = time.monotonic(), []
        if now - self.received_at > PAUSE_SECONDS:
            self.resumed_at = now
        open_ranks = [rank.connection for rank in self.ranks if not rank.connection.closed]
        sentinels = [rank.process.sentinel for rank in self.ranks if rank.process.exitcode is None]
        wait([*open_ranks, *sentinels], seconds)
        for number, rank in enumerate(self.ranks):
            if rank.connection not in open_ranks:
                continue
            try:
                while rank.connection.poll():
                    message = rank.connection.recv()
                    rank.heard_at = time.monotonic()
                    if isinstance(message, GenloomError):
                        write_fault(self.log, RankFault("error", number, self.step, str(message)))
                        raise message
                    if isinstance(message, Ping | Failure):
                        rank.take(message)
                        continue
                    self.step = message.step if isinstance(message, StepMetrics) else self.step
                    self.has_finished = self.has_finished or isinstance(message, RunResult)
                    events.append(message)
            except (EOFError, ConnectionError):
                rank.connection.close()
        self.received_at = time.monotonic()
        return events

    def find_fault(self) -> RankFault | None:
        """Return what went wrong with a rank: those that were killed, then those that hang, then those that failed."""
        ended = [n for n, rank in enumerate(self.ranks) if rank.process.exitcode not in (None, 0)]
        if ended:
            time.sleep(SETTLE_SECONDS)
            self.receive(0)  # the reasons of failures
            codes = {n: rank.process.exitcode for n, rank in enumerate(self.ranks)}
            for number, code in codes.items():
                if code is not None and code < 0:
                    return RankFault("killed", number, self.step, signal.Signals(-code).name)
            failures = {n: rank.failure for n, rank in enumerate(self.ranks) if rank.failure is not None}
            first = min(failures, key=lambda n: failures[n].at, default=ended[0])
            text = failures[first].text if failures else f"exit code {codes[first]}"
            if GLOO_TIMEOUT in text:
                return RankFault("cut", first, self.step, f"{WAIT_FACTOR * self.config.timeout:g}", text)
            return RankFault("failed", first, self.step, text.strip().splitlines()[-1], text)
        now, timeout = time.monotonic(), self.config.timeout
        unheard = [n for n, r in enumerate(self.ranks) if r.process.exitcode is None and now - r.heard_at > timeout]
        for number in unheard or [n for n, rank in enumerate(self.ranks) if self.is_behind(rank, now)]:
            return RankFault("hung", number, self.step, f"{timeout:g}")
        return None

    def is_behind(self, rank: Rank, now: float) -> bool:
        """Return whether all other ranks, which are alive, have waited for this one for too long."""
        others, timeout = [r for r in self.ranks if r is not rank], self.config.timeout
        are_waiting = all(r.ping.is_waiting and now - r.heard_at < timeout / 2 for r in others) and bool(others)
        return are_waiting and not rank.ping.is_waiting and self.measure_wait(rank, now) > timeout

    def measure_wait(self, rank: Rank, now: float) -> float:
        """Return for how many seconds all other ranks have waited for this one."""
        return min(now - max(r.ping.since, self.resumed_at) for r in self.ranks if r is not rank)

    def find_slowness(self, number: int) -> str:
        """Return how much slower a rank works than the others, in words; "" if it does not."""
        if any(len(rank.work_seconds) < NUM_WORK_SECONDS for rank in self.ranks) or len(self.ranks) < 2:
            return ""
        own = median(self.ranks[number].work_seconds)
        others = median(median(rank.work_seconds) for n, rank in enumerate(self.ranks) if n != number)
        is_slow = own > SLOW_FACTOR * others and own - others > SLOW_SECONDS
        return f"{own / max(others, 1e-9):.1f}" if is_slow else ""

    def request_stop(self) -> None:
        """Ask all ranks to end after a step, and wait until they have saved."""
        for rank in self.ranks:
            if not rank.connection.closed:
                try:
                    rank.connection.send("stop")
                except OSError:
                    continue
        deadline = time.monotonic() + STOP_SECONDS
        while any(rank.process.exitcode is None for rank in self.ranks) and time.monotonic() < deadline:
            self.receive(POLL_SECONDS)

    def kill(self) -> None:
        """End the processes that are left, also stopped ones."""
        for rank in self.ranks:
            if rank.process.exitcode is None:
                rank.process.kill()
        for rank in self.ranks:
            rank.process.join()
            rank.connection.close()


@contextmanager
def block_interrupts() -> Generator[None]:
    """Keep Ctrl-C from processes that are started in the block: the one that starts them asks them to stop."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def supervise_ranks(
    execute: Execute, assignment: Assignment, config: ParallelConfig, run_folder: Path
) -> Generator[Event]:
    """Train with a process for each device; yield the events of the main one, and the faults of all.

    Closing the iterator lets all ranks save and stop. Raise GenloomError (train.ranks_failed) if faults follow each
    other without progress.
    """
    restarts, fault_step, log = 0, -1, run_folder / FAULTS_FILE
    with tempfile.TemporaryDirectory(prefix="genloom-ranks-") as folder:
        while True:
            ranks = Ranks.start(execute, assignment, config, Path(folder), log)
            try:
                fault = yield from ranks.follow()
            except GeneratorExit:
                ranks.request_stop()
                raise
            finally:
                ranks.kill()
            if fault is None:
                return
            write_fault(log, fault)
            restarts = restarts + 1 if fault.step <= fault_step else 1
            fault_step = max(fault.step, fault_step)
            if restarts > config.max_restarts:
                raise GenloomError("train.ranks_failed", restarts=config.max_restarts, reason=fault.describe())
            yield RunWarning(f"{fault.describe()} {format_message('train.ranks_restart', devices=assignment.devices)}")
            assignment = replace(assignment, job=None, start_step=None)


def write_fault(path: Path, fault: RankFault) -> None:
    """Append a fault to the log of a run."""
    row = {**asdict(fault), "at": time.time()}
    with translate_errors(path), open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
