"""One process of a run on several devices of a machine; `launch.py` starts it and listens to it."""

import os
import threading
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from genloom.errors import GenloomError
from genloom.train.events import Event, StepMetrics
from genloom.train.parallel.group import ProcessGroup, join_group


@dataclass(frozen=True)
class Assignment:
    """The work of a process, handed over when it starts."""

    workspace: Path
    run: str
    request: Any  # TrainRequest
    job: Any  # a job that differs from the stored one; None: as stored
    start_step: int | None  # of a job with a changed plan
    devices: int
    threads: int  # of each process
    ping_seconds: float


@dataclass(frozen=True)
class Ping:
    """A sign of life: at which step a process is, whether it waits for the others, and how long its last work took."""

    step: int
    is_waiting: bool
    since: float  # by time.monotonic, which the processes of a machine share
    work_seconds: float = 0.0


@dataclass(frozen=True)
class Failure:
    """The end of a rank by a bug, or because another one ended."""

    text: str
    at: float  # by time.monotonic


Execute = Callable[[Assignment, ProcessGroup], Generator[Event]]


@dataclass
class Reporter:
    """Tells the starting process of events and steps, and now and then that this process is alive."""

    connection: Connection
    ping_seconds: float
    ping: Ping = field(default_factory=lambda: Ping(0, False, time.monotonic()))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: Any) -> None:
        with self.lock:
            self.connection.send(message)

    def begin_wait(self, work_seconds: float) -> None:
        self.ping = Ping(self.ping.step, True, time.monotonic(), work_seconds)
        self.send(self.ping)

    def end_step(self, step: int) -> None:
        self.ping = Ping(step, False, time.monotonic())

    def keep_pinging(self) -> None:
        """Send signs of life until the starting process is gone."""
        while True:
            time.sleep(self.ping_seconds)
            try:
                self.send(self.ping)
            except OSError:
                os._exit(1)

    def is_stop_requested(self) -> bool:
        return self.connection.poll()


def run_rank(execute: Execute, assignment: Assignment, rank: int, store_file: Path, connection: Connection) -> None:
    """Train as one rank, and send what happens: events of the main process, pings, and a GenloomError."""
    reporter = Reporter(connection, assignment.ping_seconds)
    threading.Thread(target=reporter.keep_pinging, daemon=True).start()
    torch.set_num_threads(assignment.threads)
    try:
        with join_group(reporter.begin_wait, store_file, rank, assignment.devices) as group:
            follow_events(execute(assignment, group), group, reporter)
    except GenloomError as error:
        reporter.send(error)
        os._exit(1)
    except Exception:
        reporter.send(Failure(traceback.format_exc(), time.monotonic()))
        os._exit(1)


def follow_events(events: Generator[Event], group: ProcessGroup, reporter: Reporter) -> None:
    """Run the events of a rank; all ranks stop after the same step."""
    for event in events:
        if group.is_main:
            reporter.send(event)
        if isinstance(event, StepMetrics):
            reporter.end_step(event.step)
            if group.broadcast(reporter.is_stop_requested()):
                events.close()
                return
