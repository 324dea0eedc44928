"""A process of its own for generated Python: started, given its program, stopped in time, and asked what came of it."""

import json
import platform
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LAUNCH = 5.0  # seconds that an interpreter may take to start on a busy machine
_REPORT = 2**16  # bytes of a report, at most


@dataclass(frozen=True)
class Limits:
    seconds: float = 5.0
    memory: int = 256  # MiB of address space


@dataclass(frozen=True)
class Outcome:
    tests: tuple[str, ...]  # what went wrong in each; "" for one that passed
    failure: str = ""  # why there are no results


def run(code: str, tests: str, limits: Limits) -> Outcome:
    """Runs the code and then each statement of the tests, in a confined process where the machine can confine one.

    The report is believed by a secret that the process is given: code that ends the process early, or prints what it
    likes, does not pass. Code that searches the interpreter for the secret could forge it; nothing but its own score
    would be wrong then.
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
            "most": _REPORT,
            "seconds": limits.seconds,
            "memory": limits.memory * 2**20,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("confined.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=home,
            env={"HOME": str(home), "LANG": "C.UTF-8", "PYTHONUTF8": "1"},
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(task).encode(), timeout=limits.seconds + _LAUNCH)
        except subprocess.TimeoutExpired:
            return Outcome((), f"stopped after {limits.seconds:g} seconds")
        finally:
            process.kill()
            process.wait()
        with report.open("rb") as file:
            told = file.read(_REPORT).decode("utf-8", "replace")
    return read(told, secret, process.returncode, limits)


def read(told: str, secret: str, code: int, limits: Limits) -> Outcome:
    """The last report that knows the secret; without one, what the end of the process says."""
    for line in reversed(told.splitlines()):
        if line.startswith(secret):
            said = json.loads(line.removeprefix(secret))
            return Outcome(tuple(said["tests"]), said["failure"])
    if code in (-9, -14, -24):  # the alarm, and the two stages of the limit of processor time
        return Outcome((), f"stopped after {limits.seconds:g} seconds")
    return Outcome((), f"the program ended before its tests, with status {code}")


@cache
def confinement() -> str:
    """Why this machine cannot confine a process; "" where it can, which is tried out."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"confining a process is written for Linux on x86-64, and this is {sys.platform} on {platform.machine()}"
    outcome = run("", "1", Limits())
    return outcome.failure
