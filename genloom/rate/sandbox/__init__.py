"""Confined processes for generated Python and its tests: start them, stop them in time, read the report."""

import json
import os
import platform
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_CLOCK_FACTOR = 4  # times its processor time that a program may take by the clock, beside others or asleep
_LAUNCH_SECONDS = 5.0  # for an interpreter to start on a busy machine
MAX_REPORT_BYTES = 2**20
MAX_TESTS = 10_000
_MAX_ERROR_CHARS = 500
_CONTROL_CHARS = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
_TIME_LIMIT_STATUSES = (-9, -14, -24)  # SIGKILL and SIGXCPU of the CPU time limit, and SIGALRM


@dataclass(frozen=True)
class SandboxLimits:
    timeout_seconds: float = 5.0  # of a processor, rounded up; `_CLOCK_FACTOR` times that by the clock
    memory_mib: int = 256  # MiB of address space
    must_confine: bool = True  # fail on a machine that cannot confine a process


@dataclass(frozen=True)
class SandboxResult:
    test_errors: tuple[str, ...]  # the error of each test; "" if it passed
    failure: str = ""  # why there are no test results


def run_sandboxed(code: str, tests: str, limits: SandboxLimits) -> SandboxResult:
    """Run the code in one confined process, and each statement of the tests in another that it cannot write to.

    The process of the code never holds the tests, the report or the descriptor that the report is written to.
    """
    with tempfile.TemporaryDirectory(prefix="genloom-check-") as folder:
        home = Path(folder, "home")
        home.mkdir()
        clock_seconds = _CLOCK_FACTOR * limits.timeout_seconds
        task = {
            "code": code,
            "folder": str(home),
            "seconds": limits.timeout_seconds,
            "clock_seconds": clock_seconds,
            "memory": limits.memory_mib * 2**20,
            "must_confine": limits.must_confine,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=home,
            env={"HOME": str(home), "LANG": "C.UTF-8", "PYTHONUTF8": "1"},
            start_new_session=True,
        )
        try:
            request = _frame_message(task) + _frame_message({"tests": tests})
            report = _exchange_messages(process, request, clock_seconds + _LAUNCH_SECONDS)
        except subprocess.TimeoutExpired:
            return SandboxResult((), f"stopped after {limits.timeout_seconds:g} seconds")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the program too
            process.wait()
    return parse_report(report, process.returncode, limits)


def _exchange_messages(process: "subprocess.Popen[bytes]", request: bytes, seconds: float) -> bytes:
    """Write the request and return the report, of which no more is kept than a report may have.

    Raise subprocess.TimeoutExpired if the process takes longer.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    deadline, parts, size = time.monotonic() + seconds, [], 0
    writer = threading.Thread(target=_write_request, args=(process.stdin, request), daemon=True)
    writer.start()
    with process.stdout as stdout, selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while size <= MAX_REPORT_BYTES:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise subprocess.TimeoutExpired(process.args, seconds)
            if not (part := os.read(stdout.fileno(), 1 << 16)):
                break
            parts.append(part)
            size += len(part)
    process.wait(max(deadline - time.monotonic(), 0.1))
    return b"".join(parts)


def _write_request(stdin: Any, request: bytes) -> None:
    with suppress(OSError), stdin:  # an error: the process ended before it read all of it
        stdin.write(request)


def parse_report(report: bytes, exit_status: int, limits: SandboxLimits) -> SandboxResult:
    """Return the report; a failure if there is none, or if it is not as the judging process writes it."""
    if not report:
        if exit_status in _TIME_LIMIT_STATUSES:
            return SandboxResult((), f"stopped after {limits.timeout_seconds:g} seconds")
        return SandboxResult((), f"the tests ended early, with status {exit_status}")
    try:
        payload: Any = json.loads(report) if len(report) <= MAX_REPORT_BYTES else None
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict) or payload.keys() != {"tests", "failure"}:
        return SandboxResult((), "the report of the tests is malformed")
    tests, failure = payload["tests"], payload["failure"]
    is_list = isinstance(tests, list) and len(tests) <= MAX_TESTS and all(isinstance(test, str) for test in tests)
    if not is_list or not isinstance(failure, str):
        return SandboxResult((), "the report of the tests is malformed")
    if not failure and not tests:
        return SandboxResult((), "no test was run")
    return SandboxResult(tuple(map(_clean_text, tests)), _clean_text(failure))


def _clean_text(text: str) -> str:
    """Return a text of the program without characters that control a terminal, and of bounded length."""
    return _CONTROL_CHARS.sub("\ufffd", text)[:_MAX_ERROR_CHARS]


def _frame_message(content: Any) -> bytes:
    data = json.dumps(content).encode()
    return len(data).to_bytes(8, "little") + data


@cache
def find_confinement_error() -> str:
    """Return why this machine cannot confine a process, by trying; "" if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"the sandbox needs Linux on x86-64 (this is {sys.platform} on {platform.machine()})"
    outcome = run_sandboxed("", "1", SandboxLimits())
    return outcome.failure
