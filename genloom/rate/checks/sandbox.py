"""A confined process for generated Python: start it, pass it the program, stop it in time, read its report."""

import json
import platform
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LAUNCH_SECONDS = 5.0  # for an interpreter to start on a busy machine
_MAX_REPORT_BYTES = 2**16


@dataclass(frozen=True)
class SandboxLimits:
    timeout_seconds: float = 5.0
    memory_mib: int = 256  # MiB of address space


@dataclass(frozen=True)
class SandboxResult:
    test_errors: tuple[str, ...]  # the error of each test; "" if it passed
    failure: str = ""  # why there are no test results


def run_sandboxed(code: str, tests: str, limits: SandboxLimits) -> SandboxResult:
    """Run the code and then each statement of the tests, in a confined process if this machine can confine one.

    The report is authenticated by a secret that only the process gets: code that exits early or prints a report does
    not pass. Code that searches the interpreter for the secret could forge one, but only for its own score.
    """
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="genloom-check-") as folder:
        report = Path(folder) / "report"
        report.touch()
        home = Path(folder) / "home"
        home.mkdir()
        task = {
            "code": code,
            "tests": tests,
            "secret": secret,
            "report": str(report),
            "max_report_bytes": _MAX_REPORT_BYTES,
            "seconds": limits.timeout_seconds,
            "memory": limits.memory_mib * 2**20,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("sandbox_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=home,
            env={"HOME": str(home), "LANG": "C.UTF-8", "PYTHONUTF8": "1"},
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(task).encode(), timeout=limits.timeout_seconds + _LAUNCH_SECONDS)
        except subprocess.TimeoutExpired:
            return SandboxResult((), f"stopped after {limits.timeout_seconds:g} seconds")
        finally:
            process.kill()
            process.wait()
        with report.open("rb") as file:
            report_text = file.read(_MAX_REPORT_BYTES).decode("utf-8", "replace")
    return parse_report(report_text, secret, process.returncode, limits)


def parse_report(report_text: str, secret: str, exit_status: int, limits: SandboxLimits) -> SandboxResult:
    """Return the last report with the secret; without one, a failure by the exit status."""
    for line in reversed(report_text.splitlines()):
        if line.startswith(secret):
            payload = json.loads(line.removeprefix(secret))
            return SandboxResult(tuple(payload["tests"]), payload["failure"])
    if exit_status in (-9, -14, -24):  # SIGKILL and SIGXCPU of the CPU time limit, and SIGALRM
        return SandboxResult((), f"stopped after {limits.timeout_seconds:g} seconds")
    return SandboxResult((), f"the program ended before its tests, with status {exit_status}")


@cache
def find_confinement_error() -> str:
    """Return why this machine cannot confine a process, by trying; "" if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"the sandbox needs Linux on x86-64 (this is {sys.platform} on {platform.machine()})"
    outcome = run_sandboxed("", "1", SandboxLimits())
    return outcome.failure
