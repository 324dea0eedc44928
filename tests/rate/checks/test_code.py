"""Generated code is scored by tests and cannot do anything but compute."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest

from genloom.rate.checks import build_check
from genloom.rate.checks.code import Config
from genloom.rate.sandbox import SandboxLimits, find_confinement_error, parse_report, run_sandboxed
from tests.errors import raises_code

needs_confinement = pytest.mark.skipif(bool(find_confinement_error()), reason=find_confinement_error())
PROGRAMS = tomllib.loads(Path(__file__).with_name("programs.toml").read_text(encoding="utf-8"))
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
            "import os\nfor fd in range(3, 9):\n  try: os.write(fd, b'x' * 9999)\n  except OSError: pass\nos._exit(0)",
            "",
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
    assert time.monotonic() - before < 50  # less than the code would sleep


def test_a_program_that_waits_for_a_processor_has_time():
    """The limit is that of a processor: beside other programs a candidate does not fail that passes alone."""
    code = "import time\ntime.sleep(1.2)\ndef add(a, b):\n    return a + b\n"
    assert run_check(code, timeout_seconds=1.0).has_passed


def test_code_that_is_endless_in_a_test_is_stopped():
    result = run_check("def add(a, b):\n    while True: pass\n", timeout_seconds=0.5)
    assert "stopped after 0.5 seconds" in result.reason


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
def test_other_files_do_not_exist_where_the_kernel_has_namespaces(tmp_path):
    """Elsewhere a program learns whether a file exists, and its size."""
    code = "from genloom.rate.sandbox.confinement import *; enter_namespaces() and print(change_root(%r))"
    (tmp_path / "root").mkdir()
    tried = subprocess.run([sys.executable, "-c", code % str(tmp_path / "root")], capture_output=True, text=True)
    if tried.stdout != "True\n":
        pytest.skip("the kernel allows no namespaces")
    (tmp_path / "diary").write_text("secret")
    assert "FileNotFoundError" in run_check(f"import os; os.stat({str(tmp_path / 'diary')!r})").reason
    assert "FileNotFoundError" in run_check("import os; os.stat('/etc/passwd')").reason


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


@pytest.mark.parametrize(
    "report",
    [
        b"x", b"\xff", b"[]", b"5", b"null", b"{}", b'{"tests": []}', b'{"failure": ""}',
        b'{"tests": 5, "failure": ""}',
        b'{"tests": [1], "failure": ""}', b'{"tests": [""], "failure": 7}', b'{"tests": [""], "failure": null}',
        b'{"tests": {"a": ""}, "failure": ""}', b'{"tests": [""], "failure": "", "more": 1}', b"[" * 100_000,
        b'{"tests": [], "failure": ""}', b"9" * 5000, json.dumps({"tests": [""] * 20_000, "failure": ""}).encode(),
        json.dumps({"tests": ["x" * 2**20], "failure": ""}).encode(),
    ],
    ids=lambda report: report[:40].decode("latin-1"),
)  # fmt: skip
def test_a_malformed_report_is_one_clear_failure(report):
    outcome = parse_report(report, 0, SandboxLimits())
    assert outcome.failure in ("the report of the tests is malformed", "no test was run")
    assert not outcome.test_errors


def test_a_report_cannot_control_the_terminal():
    report = json.dumps({"tests": ["\x1b[2Jboo\u202e"], "failure": "\x9b31m" + "y" * 9999}).encode()
    outcome = parse_report(report, 0, SandboxLimits())
    assert outcome.test_errors == ("\ufffd[2Jboo\ufffd",)
    assert outcome.failure.startswith("\ufffd31m")
    assert len(outcome.failure) < 1000
    assert "\x1b" not in run_check("raise ValueError('\x1b[31mred')").reason


FORGERIES = PROGRAMS["forgeries"]


@pytest.mark.parametrize("how", FORGERIES)
def test_a_program_cannot_forge_its_verdict(how):
    result = run_check(FORGERIES[how], "assert add(1, 2) == 3\nassert add(-1, 1) == 7\nassert 5 == add(0, 0)\n")
    assert (result.has_passed, result.score) == (False, 0.0), result.reason


def test_the_source_of_the_tests_is_not_in_the_memory_of_the_program():
    """Else it could look up what is expected of it."""
    code = """
import gc
def add(a, b):
    word, count = "".join(["xyzzy", "plugh"]), 0
    for value in gc.get_objects():
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
            count += isinstance(part, (str, bytes)) and word in str(part)
    return count
"""
    assert run_check(code, "assert add(1, 2) == 0  # xyzzyplugh").has_passed


FAIR = PROGRAMS["fair"]


@pytest.mark.parametrize("what", FAIR)
def test_tests_see_the_program_as_if_they_were_in_it(what):
    result = run_check(**FAIR[what])
    assert result.has_passed, result.reason


def test_the_program_gets_at_nothing_of_the_tests():
    code = """
def f(g, node):
    seen = []
    for get in (
        lambda: g.__globals__, lambda: g.__code__, lambda: node._private, lambda: node.method.__self__,
        lambda: node.method.__globals__, lambda: node.method.__func__, lambda: g.gi_frame, lambda: repr(g),
    ):
        try: get()
        except (AttributeError, TypeError): continue
        seen.append(1)
    link = object.__getattribute__(g, "_link")
    calls = ("getattr", (g, "__globals__")), ("call", (getattr, g, "__globals__")), ("call", (vars, node))
    for op, arguments in calls:
        try: link.request(op, *arguments)
        except Exception: continue
        seen.append(op)
    return seen
"""
    tests = (
        "class Node:\n    def method(self): pass\nsecret = 1\nresult = f(lambda: secret, Node())\nassert result == []"
    )
    result = run_check(code, tests)
    assert result.has_passed, result.reason


def attack(code):
    """Judge code in a process that it would have to harm, and return its exit status and what it printed."""
    script = (
        "from genloom.rate.sandbox import SandboxLimits, run_sandboxed\n"
        f"print(run_sandboxed({code!r}, 'assert 1', SandboxLimits()))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=600)
    return ended.returncode, ended.stdout + ended.stderr


@needs_confinement
@pytest.mark.parametrize("target", ["os.getppid()", "{pid}"])
def test_a_program_cannot_signal_through_the_owner_of_a_pipe(target):
    """It could, as fcntl was allowed whole, end the program that judges it, or any process of the user."""
    with subprocess.Popen(["sleep", "60"]) as other:
        code = f"""
import ctypes, os
L = ctypes.CDLL(None, use_errno=True)
r, w = os.pipe()
outcomes = [L.fcntl(r, 8, {target.format(pid=other.pid)}), L.fcntl(r, 10, 9), L.fcntl(r, 4, 0x2000)]
os.write(w, b"x")
import time; time.sleep(0.1)
raise RuntimeError(outcomes)
"""
        status, shown = attack(code)
        assert status == 0, shown
        assert "[-1, -1, -1]" in shown
        assert other.poll() is None
        other.kill()


REFUSED = {
    "truncate": (76, 'b"{path}", 0'), "ftruncate": (77, "0, 0"), "kill": (62, "1, 0"), "tgkill": (234, "1, 1, 9"),
    "ptrace": (101, "16, 1, 0, 0"), "process_vm_writev": (311, "1, 0, 0, 0, 0, 0"), "socket": (41, "1, 1, 0"),
    "setsid": (112, ""), "setpgid": (109, "0, 0"), "unshare": (272, "0x10000000"), "mount": (165, "0, 0, 0, 0, 0"),
    "chroot": (161, 'b"/"'), "timer_create": (222, "0, 0, 0"), "io_uring_setup": (425, "1, 0"), "bpf": (321, "0, 0, 0"),
    "userfaultfd": (323, "0"), "memfd_create": (319, 'b"x", 0'), "execve": (59, 'b"/bin/true", 0, 0'),
    "pidfd_open": (434, "1, 0"), "pidfd_send_signal": (424, "0, 9, 0, 0"), "setpriority": (141, "0, 0, 19"),
    "prlimit": (302, "1, 7, 0, 0"), "ioctl FIOASYNC": (16, "0, 0x5452, 0"), "ioctl TIOCSTI": (16, "0, 0x5412, 0"),
    "prctl": (157, "4, 1, 0, 0, 0"), "clone of a process": (56, "17, 0, 0, 0, 0"), "inotify_init": (253, ""),
    "fcntl F_SETLEASE": (72, "0, 1024, 0"), "fcntl F_NOTIFY": (72, "0, 1026, 0"),
    "fcntl F_SETOWN_EX": (72, "0, 15, 0"), "fcntl F_SETOWN": (72, "0, 8, 1"), "fcntl F_SETSIG": (72, "0, 10, 9"),
    "fcntl F_SETFL O_ASYNC": (72, "0, 4, 0x2000"),
    "fcntl F_SETLK": (72, "0, 6, 0"),
    "open to truncate": (257, '-100, b"{path}", 512, 0'), "creat": (85, 'b"{path}", 0'),
    "open2 to write": (2, 'b"{path}", 1, 0'), "splice": (275, "0, 0, 1, 0, 1, 0"), "unlink": (87, 'b"{path}"'),
}  # fmt: skip


@needs_confinement
@pytest.mark.parametrize("name", REFUSED)
def test_system_calls_are_allowed_by_list(name, tmp_path):
    path = tmp_path / "diary"
    path.write_text("secret")
    number, arguments = REFUSED[name]
    code = f"""
import ctypes
L = ctypes.CDLL(None, use_errno=True)
outcome = L.syscall({number}, {arguments.format(path=path)})
error = ctypes.get_errno()
"""
    result = run_check(code, "assert outcome == -1\nassert error in (1, 13, 38), error")
    assert result.has_passed, result.reason
    assert path.read_text() == "secret"


@needs_confinement
def test_a_refused_call_is_refused_on_every_kernel():
    """What Landlock covers depends on its version; the filter refuses by itself what would change a file."""
    from genloom.rate.sandbox import confinement

    allowed = {*confinement._ALLOWED_SYSCALLS}
    changing = {76, 77, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 93, 94, 133, 132, 235, 258, 259, 260, 263, 264, 265}
    changing |= {266, 268, 280, 285, 316, 40, 275, 276, 278, 326, 161, 165, 304, 437, 188, 189, 190, 197, 198, 199}
    assert not allowed & changing


def test_an_oversized_report_is_discarded(monkeypatch):
    monkeypatch.setattr("genloom.rate.sandbox.MAX_REPORT_BYTES", 2**14)
    outcome = run_sandboxed("", "\n".join(f"raise ValueError('{n}' * 250)" for n in range(200)), SandboxLimits())
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
        ({"tests": "1", "timeout_seconds": float("inf")}, "rate.bad_sandbox_limits"),
        ({"tests": "1", "timeout_seconds": float("nan")}, "rate.bad_sandbox_limits"),
        ({"tests": "1", "memory_mib": 1 << 40}, "rate.bad_sandbox_limits"),
    ],
)
def test_invalid_settings_are_refused(settings, code):
    with raises_code(code):
        Config(**settings)
