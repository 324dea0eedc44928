"""The process inside the sandbox: it drops every capability but computing, then runs the program and its tests.

A script for a separate interpreter, which imports nothing of Genloom. On Linux it applies three restrictions that need
no privilege: limits on time and memory (setrlimit); Landlock, which only allows reading the standard library; and a
seccomp filter, which denies sockets, new processes and signals to other processes.
"""

import ast
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import sysconfig
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2  # prctl
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the system calls of Landlock
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3

# System calls of x86-64 that are refused. Numbers above _MAX_SYSCALL are newer than Python needs, and all refused.
# Other entries into the kernel (32-bit and x32 calls) kill the process.
_REFUSED_SYSCALLS = (
    *range(41, 51),  # sockets
    *(53, 54, 55, 288, 299, 307),  # more socket calls
    *(57, 58, 59, 322),  # fork, vfork, exec
    *(62, 129, 130, 200, 234, 297, 424),  # signals
    *(101, 310, 311, 312, 434, 438, 440),  # other processes
    *(
        29,
        30,
        31,
        64,
        65,
        66,
        67,
        68,
        69,
        70,
        71,
        240,
        241,
        242,
        243,
    ),  # shared memory, semaphores and message queues, which outlive a process
    *(90, 91, 92, 93, 94, 132, 235, 260, 261, 268, 280),  # owners, modes and times of files
    *(188, 189, 190, 197, 198, 199),  # extended attributes
    *(155, 161, 165, 166, 272, 308, 428, 429, 430, 431, 432, 433, 442),  # mounts and namespaces
    *(160, 302, 141, 142, 144, 203, 251, 314),  # limits and priorities
    *(
        159,
        163,
        164,
        167,
        168,
        169,
        170,
        171,
        172,
        173,
        175,
        176,
        179,
        227,
        246,
        305,
        313,
        320,
    ),  # administration of the machine
    *(248, 249, 250, 298, 303, 304, 321, 323, 425, 426, 427),  # keys, handles, io_uring and the like
)
_CLONE, _CLONE3, _CLONE_THREAD, _MAX_SYSCALL = 56, 435, 0x10000, 443
_X86_64 = 0xC000003E
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38


def main() -> None:
    task = json.loads(sys.stdin.buffer.read())
    report = os.open(task["report"], os.O_WRONLY)
    outcome: dict[str, Any] = {"tests": [], "failure": ""}
    try:
        set_limits(task)
        if sys.platform == "linux" and os.uname().machine == "x86_64":
            restrict_files()
            install_seccomp_filter()
    except OSError as error:
        outcome["failure"] = f"this machine cannot confine a process: {error}"
    else:
        outcome = run_tests(task["code"], task["tests"])
    line = f"\n{task['secret']}{json.dumps(outcome)}\n".encode()
    os.write(report, line if len(line) < task["max_report_bytes"] else b"")
    os._exit(0)


def run_tests(code: str, tests: str) -> dict[str, Any]:
    """Run the program and each statement of its tests; return the report."""
    namespace: dict[str, Any] = {"__name__": "program"}
    if program_error := run_source(code, "program", namespace):
        return {"tests": [], "failure": f"the program fails: {program_error}"}
    statements = [ast.get_source_segment(tests, node) or "" for node in ast.parse(tests).body]
    return {"tests": [run_source(statement, "test", namespace) for statement in statements], "failure": ""}


def run_source(source: str, name: str, namespace: dict[str, Any]) -> str:
    """Run Python source; return "" or the error, with the source of a failing test."""
    try:
        exec(compile(source, name, "exec"), namespace)  # noqa: S102  # the purpose of this process
    except BaseException as error:  # a program may raise anything, SystemExit included
        message = f"{type(error).__name__}: {error}".rstrip(": ")[:300]
        return f"{source.strip()[:120]} raised {message}" if name == "test" else message
    return ""


def set_limits(task: dict[str, Any]) -> None:
    seconds = int(task["seconds"]) + 1
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: task["memory"],
        resource.RLIMIT_FSIZE: task["max_report_bytes"],
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_CORE: 0,
    }
    for resource_id, limit in limits.items():
        resource.setrlimit(resource_id, (limit, limit))
    signal.setitimer(signal.ITIMER_REAL, task["seconds"])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def restrict_files() -> None:
    """Apply Landlock (Linux 5.13): from now on only files of the standard library can be opened, for reading."""
    version = call_kernel(_LANDLOCK_CREATE_RULESET, None, 0, 1)
    num_access_kinds = (
        13 + (version > 1) + (version > 2) + (version > 4)
    )  # kinds of access that this kernel can restrict
    access_bits = struct.pack("=Q", (1 << num_access_kinds) - 1)
    ruleset = call_kernel(_LANDLOCK_CREATE_RULESET, access_bits, len(access_bits), 0)
    library_paths = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), "/usr/share/zoneinfo")
    for path in {*library_paths, "/lib", "/lib64", "/usr/lib", "/usr/lib64"}:
        if os.path.isdir(path):
            folder = os.open(path, os.O_PATH)
            rule = struct.pack("=Qi", _READ_FILE | _READ_DIR, folder)
            call_kernel(_LANDLOCK_ADD_RULE, ruleset, 1, rule, 0)
            os.close(folder)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    call_kernel(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def install_seccomp_filter() -> None:
    """Install a seccomp filter, a program that the kernel runs before each system call (Linux 3.5)."""
    load_word, jump_equal, jump_greater, jump_set, return_value = 0x20, 0x15, 0x25, 0x45, 0x06
    program = [
        (load_word, 0, 0, 4),  # the architecture
        (jump_equal, 1, 0, _X86_64),
        (return_value, 0, 0, _KILL),
        (load_word, 0, 0, 0),  # the number of the call
        (jump_greater, 0, 1, 0x3FFFFFFF),
        (return_value, 0, 0, _KILL),
        (jump_greater, 0, 1, _MAX_SYSCALL),
        (return_value, 0, 0, _ERRNO | _ENOSYS),
        (
            jump_equal,
            0,
            1,
            _CLONE3,
        ),  # its flags are in memory, invisible to a filter; the C library falls back to clone
        (return_value, 0, 0, _ERRNO | _ENOSYS),
    ]
    for number in _REFUSED_SYSCALLS:
        program += [(jump_equal, 0, 1, number), (return_value, 0, 0, _ERRNO | _EPERM)]
    program += [
        (jump_equal, 0, 3, _CLONE),
        (load_word, 0, 0, 16),  # its flags: threads are allowed, processes are not
        (jump_set, 1, 0, _CLONE_THREAD),
        (return_value, 0, 0, _ERRNO | _EPERM),
        (return_value, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer)))


def prctl(option: int, first: int, second: bytes | int = 0) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(first), second, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option} is refused")


def call_kernel(number: int, *arguments: Any) -> int:
    status = _LIBC.syscall(number, *arguments)
    if status < 0:
        raise OSError(ctypes.get_errno(), f"system call {number} is refused")
    return status


if __name__ == "__main__":
    main()
