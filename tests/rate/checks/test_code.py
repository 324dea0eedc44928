"""Generated code is scored by tests and cannot do anything but compute."""

import os
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from genloom.rate.checks import build_check
from genloom.rate.checks.code import Config
from genloom.rate.checks.sandbox import SandboxLimits, find_confinement_error, parse_report, run_sandboxed
from tests.errors import raises_code

needs_confinement = pytest.mark.skipif(bool(find_confinement_error()), reason=find_confinement_error())
ADDS = "assert add(1, 2) == 3\nassert add(-1, 1) == 0\nassert add(0, 0) == 0\n"


def run_check(code, tests=ADDS, **settings):
    return build_check("code", {"tests": tests, "allow_unconfined": bool(find_confinement_error()), **settings})(code)


def test_code_that_works_passes():
    result = run_check("def add(a, b):\n    return a + b\n")
    assert (result.has_passed, result.score, result.reason) == (True, 1.0, "3 of 3 tests pass")


def test_the_score_is_the_share_of_tests_and_the_first_failure_is_shown():
    result = run_check("def add(a, b):\n    return abs(a) + b\n")
    assert (result.has_passed, result.score) == (False, pytest.approx(2 / 3))
    assert result.reason == "2 of 3 tests pass; assert add(-1, 1) == 0 raised AssertionError"


def test_code_blocks_in_prose_are_run():
    text = (
        "First:\n```python\nimport math\n```\nand then\n```\ndef add(a, b):\n    return math.fsum([a, b])\n```\nDone."
    )
    assert run_check(text).has_passed


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def add(a, b) return a", "the program fails: SyntaxError"),
        ("raise RuntimeError('no')", "the program fails: RuntimeError: no"),
        ("import sys; sys.exit(0)", "the program fails: SystemExit: 0"),
        ("import os; os._exit(0)", "ended before its tests"),
        ('print(\'{"tests": ["", "", ""], "failure": ""}\'); import os; os._exit(0)', "ended before its tests"),
        (
            "import os\nfor fd in range(3, 9):\n  try: os.write(fd, b'x' * 99999)\n  except OSError: pass\nos._exit(0)",
            "ended",
        ),
        ("import ctypes; ctypes.string_at(0)", "ended before its tests, with status -11"),
        ("a\0b", "the program fails"),
    ],
)
def test_code_that_does_not_reach_its_tests_fails(code, reason):
    result = run_check(code)
    assert (result.has_passed, result.score) == (False, 0.0)
    assert reason in result.reason


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(60)", "x = 10 ** 10 ** 10"])
def test_endless_code_is_stopped(code):
    before = time.monotonic()
    result = run_check(code, timeout_seconds=0.5)
    assert "stopped after 0.5 seconds" in result.reason
    assert time.monotonic() - before < 5.5


@pytest.mark.parametrize("ignored", ["ALRM", "XCPU", "TERM"])
def test_ignoring_signals_does_not_help(ignored):
    code = f"import signal; signal.signal(signal.SIG{ignored}, signal.SIG_IGN)\nwhile True: pass"
    assert "stopped after" in run_check(code, timeout_seconds=0.5).reason


def test_memory_is_limited():
    result = run_check("x = bytearray(10 ** 9)", memory_mib=128)
    assert "MemoryError" in result.reason


@needs_confinement
@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True: os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true') == 0 or 1/0",
        "import os; os.execv('/bin/true', ['true'])",
        "import multiprocessing as m; p = m.Process(target=print); p.start()",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
    ],
)
def test_no_process_is_ever_started(code):
    """Least of all the processes of a fork bomb."""
    result = run_check(code)
    assert "the program fails" in result.reason


@needs_confinement
def test_threads_work():
    assert run_check(
        "import threading\nfound = []\ndef add(a, b):\n  t = threading.Thread(target=lambda: found.append(a + b))\n"
        "  t.start(); t.join(); return found.pop()"
    ).has_passed


@needs_confinement
@pytest.mark.parametrize("where", ["{home}/stolen", "/tmp/genloom-stolen", "stolen", "../report2", "/dev/shm/stolen"])
def test_nothing_is_written_anywhere(tmp_path, where):
    path = where.format(home=tmp_path)
    result = run_check(f"open({path!r}, 'w').write('x')")
    assert "Permission" in result.reason
    assert not Path(path).exists()


@needs_confinement
@pytest.mark.parametrize(
    "change",
    [
        "os.remove({0!r})",
        "os.rename({0!r}, {0!r} + '2')",
        "os.chmod({0!r}, 0)",
        "os.utime({0!r})",
        "os.truncate({0!r}, 0)",
        "os.symlink({0!r}, 'link')",
        "os.link({0!r}, 'link')",
        "os.mkdir({0!r} + '.d')",
        "os.chown({0!r}, 1, 1)",
        "os.setxattr({0!r}, 'user.x', b'')",
        "open({0!r})",
        "os.listdir(os.path.dirname({0!r}))",
        "os.mkfifo('pipe')",
    ],
)
def test_existing_files_are_neither_changed_nor_read(tmp_path, change):
    path = tmp_path / "diary"
    path.write_text("secret")
    path.chmod(0o600)
    before = path.stat()
    result = run_check("import os\n" + change.format(str(path)))
    assert "Error" in result.reason
    assert [p.name for p in tmp_path.iterdir()] == ["diary"]
    after = path.stat()
    assert (before.st_mode, before.st_mtime_ns, before.st_uid) == (after.st_mode, after.st_mtime_ns, after.st_uid)
    assert path.read_text() == "secret"


@needs_confinement
def test_there_is_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        connections = []

        def listen():
            with suppress(TimeoutError):
                connections.append(server.accept())

        thread = threading.Thread(target=listen)
        thread.start()
        result = run_check(f"import socket; socket.create_connection(('127.0.0.1', {port}))")
        thread.join()
    assert "PermissionError" in result.reason
    assert not connections
    for kind in ("AF_UNIX", "AF_INET6", "AF_NETLINK"):
        assert "PermissionError" in run_check(f"import socket; socket.socket(socket.{kind})").reason


@needs_confinement
def test_other_processes_are_out_of_reach():
    with subprocess.Popen(["sleep", "60"]) as other:
        results = [run_check(f"import os; os.kill({other.pid}, {sign})") for sign in (9, 0)]
        assert other.poll() is None
        other.kill()
    assert all("PermissionError" in result.reason for result in results)
    assert "PermissionError" in run_check(f"import os; os.kill({os.getpid()}, 0)").reason


@needs_confinement
def test_the_environment_is_empty():
    tests = "assert sorted(seen) == ['HOME', 'LANG', 'PYTHONUTF8']\nassert os.path.basename(os.getcwd()) == 'home'"
    assert run_check("import os; seen = dict(os.environ); seen.pop('LC_CTYPE', None)", tests).has_passed


@needs_confinement
def test_the_standard_library_is_there():
    used = "re, json, math, collections, itertools, functools, random, datetime, string, heapq, decimal, zoneinfo"
    tests = "assert zoneinfo and random.Random(0).random() > 0\nassert datetime.datetime(2020, 1, 1).year == 2020"
    assert run_check(f"import {used}", tests).has_passed


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_check("import time; time.sleep(60)", timeout_seconds=0.2)
    assert not list(tmp_path.iterdir())


def test_a_report_without_the_secret_is_rejected():
    forged = '{"tests": [""], "failure": ""}'
    assert parse_report(forged, "secret", 0, SandboxLimits()).failure
    assert parse_report("secret" + forged, "secret", 0, SandboxLimits()).test_errors == ("",)


def test_an_oversized_report_is_discarded():
    outcome = run_sandboxed("", "\n".join(f"raise ValueError('{n}' * 250)" for n in range(400)), SandboxLimits())
    assert outcome.failure
    assert not outcome.test_errors


def test_without_confinement_code_is_not_run(monkeypatch):
    monkeypatch.setattr("genloom.rate.checks.code.find_confinement_error", lambda: "this is a toaster")
    with raises_code("rate.no_sandbox", reason="this is a toaster"):
        build_check("code", {"tests": ADDS})("1")


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"tests": ""}, "rate.no_code_tests"),
        ({"tests": "assert"}, "rate.bad_code_tests"),
        ({"tests": "1", "timeout_seconds": 0.0}, "rate.bad_sandbox_limits"),
        ({"tests": "1", "memory_mib": 1}, "rate.bad_sandbox_limits"),
    ],
)
def test_invalid_settings_are_refused(settings, code):
    with raises_code(code):
        Config(**settings)
