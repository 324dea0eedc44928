"""Threads that wait for each other spin on an idle machine and sleep on a busy one."""

import json
import os
import subprocess
import sys

import pytest
import torch

from genloom.processors import count_allowed_processors
from genloom.waiting import IDLE_SECONDS, WaitingPolicy, count_threads, load_openmp

SCRIPT = """
import json, threading, time, torch
from genloom import waiting
from genloom.waiting import SleepingThreads, load_openmp

def await_holder(is_expected):
    deadline = time.monotonic() + 600
    while any(t.name == waiting.HOLDER_NAME for t in threading.enumerate()) != is_expected:
        assert time.monotonic() < deadline
        time.sleep(0.01)

def count_seconds():
    started_at = time.process_time()
    for _ in range(40):
        torch.ones(1 << 17).sin_()
        time.sleep(0.01)
    return time.process_time() - started_at

torch.set_num_threads(2)
spinning = count_seconds()
threads = SleepingThreads(load_openmp(), 8)
sleeping = count_seconds()
threads.close()
spinning_again = count_seconds()

waiting.POLL_SECONDS, waiting.IDLE_SECONDS, is_busy, waited = 0.02, 0.1, True, 0.0
def read_waiting_seconds():
    global waited
    waited += 0.1 * is_busy
    return waited
waiting.read_waiting_seconds = read_waiting_seconds
waiting.watch_processors()
await_holder(True)
is_busy = False
await_holder(False)
print(json.dumps([spinning, sleeping, spinning_again]))
"""


def run_policy(shares: list[tuple[float, float]]) -> list[bool]:
    policy = WaitingPolicy()
    return [policy.update(share, now) for now, share in shares]


def test_threads_sleep_under_load_and_spin_again_some_time_after_it() -> None:
    assert run_policy([(0.0, 0.0), (0.25, 0.004)]) == [False, False]
    end = 1 + IDLE_SECONDS
    assert run_policy([(0, 0.3), (1, 0.0), (1.5, 0.0), (end, 0.0)]) == [True, True, True, False]


def test_a_pause_of_the_load_and_a_light_load_change_nothing() -> None:
    assert run_policy([(0, 0.3), (1, 0.0), (1.5, 0.02), (1.5 + IDLE_SECONDS, 0.0)]) == [True] * 4
    assert run_policy([(0, 0.02), (1, 0.03), (5, 0.02)]) == [False] * 3


def test_the_number_of_threads_is_that_of_now() -> None:
    number = torch.get_num_threads()
    try:
        for count in (1, 2, 1):
            torch.set_num_threads(count)
            assert count_threads() == count
    finally:
        torch.set_num_threads(number)


@pytest.mark.skipif(count_allowed_processors() > 8 or load_openmp() is None, reason="needs libgomp, few processors")
def test_idle_threads_of_openmp_use_no_processor_while_they_sleep() -> None:
    """And the threads of a process that is watched sleep while others take its processors."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment)
    spinning, sleeping, spinning_again = json.loads(result.stdout)
    assert sleeping < 0.7 * spinning
    assert sleeping < 0.7 * spinning_again
