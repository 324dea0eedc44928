"""The process that judges a generated program: it runs the tests, and starts the program in a process below it.

The program holds neither the tests nor the report: it answers the calls of the tests over a pipe, and can do nothing
but compute (see confinement.py and link.py).

A script for a separate interpreter, which imports nothing of Genloom.
"""

import ast
import importlib
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

_MAX_TESTS = 10_000


def _load_sibling(name: str) -> ModuleType:
    """Load a module beside this script, in a package without the __init__.py here, which belongs to Genloom."""
    package = sys.modules.setdefault("sandbox", ModuleType("sandbox"))
    package.__path__ = [str(Path(__file__).parent)]
    return importlib.import_module(f"sandbox.{name}")


confinement, connection, proxies = map(_load_sibling, ("confinement", "connection", "proxies"))
Link = _load_sibling("link").Link


def main() -> None:
    """Read the program, confine this process, start the program's, and only then read the tests."""
    task = json.loads(_read_part())
    deadline = time.monotonic() + task["clock_seconds"]
    null_fd = os.open(os.devnull, os.O_RDWR)
    try:
        _confine_process(task)
    except OSError as error:
        _report_outcome({"tests": [], "failure": f"this machine cannot confine a process: {error}"})
    to_program, from_program = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(to_program[1])
        os.close(from_program[0])
        for fd in range(3):
            os.dup2(null_fd, fd)
        _serve_program(task, Link(to_program[0], from_program[1], is_judge=False, deadline=0.0))
    os.close(to_program[0])
    os.close(from_program[1])
    tests = json.loads(_read_part())["tests"]
    report_fd = os.dup(1)  # tests that print, or write to the descriptors they know, write to nothing
    for fd in range(3):
        os.dup2(null_fd, fd)
    try:
        _restrict_judge()
    except OSError as error:
        if task["must_confine"]:
            _report_outcome({"tests": [], "failure": f"this machine cannot confine a process: {error}"}, report_fd)
    link = Link(from_program[0], to_program[1], is_judge=True, deadline=deadline)
    try:
        outcome = _judge_program(link, tests)
    except connection.TimeIsUp:
        outcome = {"tests": [], "failure": f"stopped after {task['seconds']:g} seconds"}
    _report_outcome(outcome, report_fd)


def _confine_process(task: dict[str, Any]) -> None:
    """Confine this process and those below it."""
    confinement.set_limits(task["seconds"], task["clock_seconds"], task["memory"])
    if not confinement.is_supported():
        return
    try:
        if confinement.enter_namespaces():
            confinement.change_root(task["folder"])
        confinement.restrict_files()
        confinement.hide_memory()
    except OSError:
        if task["must_confine"]:
            raise


def _restrict_judge() -> None:
    """Restrict this process to computing too, now that the program has its own: tests can start no process."""
    if confinement.is_supported():
        confinement.drop_capabilities()
        confinement.install_seccomp_filter()


def _serve_program(task: dict[str, Any], link: Any) -> None:
    """Run the program and answer the tests' calls, until this process is ended."""
    failure = ""
    namespace: dict[str, Any] = {"__name__": "program"}
    try:
        if confinement.is_supported():
            confinement.die_with_parent()
            confinement.drop_capabilities()
            confinement.install_seccomp_filter()
    except OSError as error:
        failure = f"this machine cannot confine a process: {error}" if task["must_confine"] else ""
    if not failure:
        problem = run_source(task["code"], "program", namespace)
        failure = problem and f"the program fails: {problem}"
    link._export(namespace)
    link.send({"failure": failure})
    while True:
        link.serve(link.receive())


def _judge_program(link: Any, tests: str) -> dict[str, Any]:
    """Wait for the program, then run each statement of the tests; return the report."""
    try:
        failure = link.receive().get("failure")
    except connection.ProtocolError:
        return {"tests": [], "failure": _describe_end()}
    if not isinstance(failure, str) or failure:
        return {"tests": [], "failure": str(failure)[:400]}
    namespace = proxies.TestNamespace(link, proxies.Remote(link, 0))
    link.proxies[0] = namespace.namespace
    results = []
    for node in ast.parse(tests).body[:_MAX_TESTS]:
        statement = ast.get_source_segment(tests, node) or ""
        try:
            results.append(run_source(statement, "test", namespace))
        except connection.ProtocolError as error:
            _describe_end()  # raises TimeIsUp where a limit on time ended it
            return {"tests": [], "failure": f"the program broke off during a test: {error}"}
    return {"tests": results, "failure": ""}


def _describe_end() -> str:
    """Return how the program's process ended."""
    _, status = os.waitpid(-1, os.WNOHANG)
    for _ in range(50):  # its pipe closes a moment before
        if status:
            break
        time.sleep(0.01)
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if ended:
            break
    code = os.waitstatus_to_exitcode(status)
    if code in (-9, -14, -24):  # of the limits on time
        raise connection.TimeIsUp
    return f"the program ended before its tests, with status {code}"


def run_source(source: str, name: str, namespace: dict[str, Any]) -> str:
    """Run Python source; return "" or the error, with the source of a failing test."""
    try:
        exec(compile(source, name, "exec"), namespace)  # noqa: S102  # the purpose of this process
    except (connection.ProtocolError, connection.TimeIsUp):
        raise
    except BaseException as error:  # a program may raise anything, SystemExit included
        message = f"{type(error).__name__}: {error}".rstrip(": ")[:300]
        return f"{source.strip()[:120]} raised {message}" if name == "test" else message
    return ""


def _read_part() -> bytes:
    """Read one part of the input, and no byte of the next, which is not the program's business."""
    size = int.from_bytes(_read_exactly(8), "little")
    return _read_exactly(size)


def _read_exactly(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 16))
        if not part:
            os._exit(3)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _report_outcome(outcome: dict[str, Any], fd: int = 1) -> None:
    data = json.dumps(outcome).encode()
    while data:
        data = data[os.write(fd, data) :]
    os._exit(0)


if __name__ == "__main__":
    sys.setrecursionlimit(2000)
    main()
