"""The clock of limits in minutes: it stands still while the process is stopped, and only then."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from genloom.running_time import MIN_UNSURE_SECONDS, POLL_SECONDS, RunningClock, read_waiting_seconds

SCRIPT = """
import time
from genloom.running_time import read_running_seconds
running, clock = read_running_seconds(), time.perf_counter()
time.sleep(1)  # until the clock is watched
print("ready", flush=True)
input()
print(read_running_seconds() - running, time.perf_counter() - clock)
"""


@dataclass
class Machine:
    """What the clock reads of a machine: its time, and what its process has used and waited for."""

    now: float = 50.0
    used: float = 3.0
    waited: float | None = 1.0

    def build_clock(self) -> RunningClock:
        return RunningClock(lambda: self.now, lambda: self.used, lambda: self.waited)

    def pass_time(self, clock: RunningClock, seconds: float, used: float = 0.0, waited: float = 0.0) -> float:
        """Let time pass without a look at the clock; return how much of it the clock counts."""
        before = clock.read_seconds()
        self.now, self.used = self.now + seconds, self.used + used
        self.waited = None if self.waited is None else self.waited + waited
        return clock.read_seconds() - before


def test_a_stopped_process_has_no_time() -> None:
    machine = Machine()
    clock = machine.build_clock()
    assert machine.pass_time(clock, 3600.0) == pytest.approx(POLL_SECONDS)
    assert machine.pass_time(clock, 1.5) == 1.5
    for _ in range(100):
        machine.now += POLL_SECONDS
        clock.look()
    assert machine.pass_time(clock, 5.0, used=0.2) == pytest.approx(POLL_SECONDS + 0.2)


@pytest.mark.parametrize(
    ("used", "waited"),
    [
        (30.0, 0.0),  # a library that keeps Python's lock
        (110.0, 0.0),  # on several processors
        (0.3, 29.7),  # beside other programs
        (0.0, 30.0),
    ],
)
def test_a_process_that_works_or_waits_for_a_processor_is_not_stopped(used: float, waited: float) -> None:
    machine = Machine()
    assert machine.pass_time(machine.build_clock(), 30.0, used, waited) == 30.0


def test_where_waiting_is_unknown_only_a_long_silence_is_a_pause() -> None:
    machine = Machine(waited=None)
    clock = machine.build_clock()
    assert machine.pass_time(clock, MIN_UNSURE_SECONDS - 1) == MIN_UNSURE_SECONDS - 1
    assert machine.pass_time(clock, MIN_UNSURE_SECONDS + 5) == POLL_SECONDS


@pytest.mark.slow
@pytest.mark.skipif(read_waiting_seconds() is None, reason="the system does not say how long threads waited")
def test_a_stop_by_signal_is_noticed() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGSTOP)
        stopped_at = time.perf_counter()
        time.sleep(5)
        seconds_stopped = time.perf_counter() - stopped_at
        os.kill(process.pid, signal.SIGCONT)
        running, elapsed = map(float, process.communicate("\n", timeout=600)[0].split())
    assert elapsed >= 6
    assert 4 <= elapsed - running <= seconds_stopped + 1
