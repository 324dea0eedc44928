"""Confinement of the calling process to computing, by means of Linux that need no privilege.

Limits on time and memory (setrlimit); namespaces of its own where the kernel allows them, in which no other process
and no other file exists; Landlock, which only allows reading the standard library; and a seccomp filter that allows
system calls by list.

A script's module: it runs in a separate interpreter, and imports nothing of Genloom.
"""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
import sysconfig
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_GET_NAME = 1, 4, 15, 16
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 24, 38, 2
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the system calls of Landlock
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 1 << 17, 1 << 27, 1 << 28, 1 << 29, 1 << 30
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18

# System calls of x86-64 that compute, read what is open, or open for reading. All others are refused.
_ALLOWED_SYSCALLS = (
    *(0, 1, 3, 5, 7, 8, 17, 18, 19, 20, 295, 296),  # read, write, close, fstat, poll, lseek and their kin
    *(4, 6, 21, 89, 262, 267, 269, 332, 439, 79),  # stat, access, readlink, getcwd
    217,  # getdents64
    *(9, 10, 11, 12, 25, 28, 324),  # memory
    *(13, 14, 15, 36, 37, 38, 127, 128, 131, 34),  # its own signals and timers
    *(22, 293, 23, 270, 271, 32, 33, 292, 436, 213, 232, 233, 281, 291, 284, 290),  # pipes, descriptors, waiting
    *(24, 35, 230, 219, 96, 201, 228, 229),  # time
    *(39, 186, 102, 104, 107, 108, 110, 111, 63, 97, 98, 99, 100, 204, 61),  # facts about itself
    *(60, 231, 202, 218, 273, 334),  # exit, threads
    318,  # getrandom
)
_OPEN, _IOCTL, _CLONE, _FCNTL, _PRCTL, _OPENAT, _PRLIMIT, _CLONE3 = 2, 16, 56, 72, 157, 257, 302, 435
_MAX_SYSCALL = 443  # newer ones answer as an older kernel does, so that the C library does without them
_THREAD_FLAGS, _FORBIDDEN_CLONE_FLAGS = 0x10000, 0x7E020000 | 0x80  # CLONE_THREAD; namespaces and CLONE_NEWTIME
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | 0x2000 | 0x400000  # ASYNC, TMPFILE
_FCNTL_COMMANDS = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_F_SETFL, _O_ASYNC = 4, 0x2000  # of the flags of an open file all but the one that makes it send signals
_IOCTL_REQUESTS = (0x5401, 0x5450, 0x5451, 0x541B)  # TCGETS, FIONCLEX, FIOCLEX, FIONREAD
_X86_64 = 0xC000003E
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _EACCES, _ENOSYS = 1, 13, 38


def is_supported() -> bool:
    """Return whether the system calls are numbered as in this file."""
    return sys.platform == "linux" and os.uname().machine == "x86_64"


def list_library_folders() -> list[str]:
    """Return the folders that a confined program may read."""
    paths = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), "/usr/share/zoneinfo"}
    paths |= {"/lib", "/lib64", "/usr/lib", "/usr/lib64"}
    return sorted(path for path in paths if os.path.isdir(path))


def set_limits(seconds: float, clock_seconds: float, memory_bytes: int) -> None:
    """Limit the process's time (of a processor, and by the clock), memory and descriptors."""
    limits = {
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_CORE: 0,
    }
    for resource_id, limit in limits.items():
        resource.setrlimit(resource_id, (limit, limit))
    signal.setitimer(signal.ITIMER_REAL, clock_seconds)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def enter_namespaces() -> bool:
    """Enter new namespaces; return whether the kernel allows them. Only child processes are in that of processes."""
    user, group = os.getuid(), os.getgid()
    if _LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWPID | _CLONE_NEWNS | _CLONE_NEWIPC | _CLONE_NEWNET):
        return False
    with contextlib.suppress(OSError):  # without them, the folder below cannot be filled; the rest holds
        _write_file("/proc/self/setgroups", "deny")
        _write_file("/proc/self/uid_map", f"0 {user} 1")
        _write_file("/proc/self/gid_map", f"0 {group} 1")
    return True


def change_root(folder: str) -> bool:
    """Make a folder with only the standard library in it the root of all paths; return whether the kernel allows it."""
    paths = list_library_folders()
    if not _mount_folder("none", "/", _MS_REC | _MS_PRIVATE) or not _mount_folder(
        "tmpfs", folder, _MS_NOSUID | _MS_NODEV, "tmpfs"
    ):
        return False
    for path in paths:
        os.makedirs(folder + path, exist_ok=True)
        if not _mount_folder(os.path.realpath(path), folder + path, _MS_BIND | _MS_REC):
            return False
    os.mkdir(f"{folder}/home")
    _mount_folder("none", folder, _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    os.chroot(folder)
    os.chdir("/home")
    os.environ["HOME"] = "/home"
    return True


def restrict_files() -> None:
    """Apply Landlock (Linux 5.13): from now on only files of the standard library can be opened, for reading."""
    version = _call_kernel(_LANDLOCK_CREATE_RULESET, None, 0, 1)
    num_access_kinds = 13 + (version > 1) + (version > 2) + (version > 4)  # that this kernel can restrict
    access_bits = struct.pack("=Q", (1 << num_access_kinds) - 1)
    ruleset = _call_kernel(_LANDLOCK_CREATE_RULESET, access_bits, len(access_bits), 0)
    for path in list_library_folders():
        folder = os.open(path, os.O_PATH)
        rule = struct.pack("=Qi", _READ_FILE | _READ_DIR, folder)
        _call_kernel(_LANDLOCK_ADD_RULE, ruleset, 1, rule, 0)
        os.close(folder)
    _call_prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _call_kernel(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def drop_capabilities() -> None:
    """Give up every capability, which root has and the first process of a namespace of users."""
    for number in range(64):
        _LIBC.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0)
    header = struct.pack("=Ii", 0x20080522, 0)
    _LIBC.capset(ctypes.create_string_buffer(header, len(header)), ctypes.create_string_buffer(24))


def hide_memory() -> None:
    """Forbid other processes of the user to read this one's memory."""
    _call_prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """Arrange that the kernel kills this process when its parent ends."""
    _call_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def install_seccomp_filter() -> None:
    """Install a seccomp filter, a program that the kernel runs before each system call (Linux 3.5)."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in build_filter())
    buffer = ctypes.create_string_buffer(code, len(code))
    _call_prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))


def build_filter() -> list[tuple[int, int, int, int]]:
    """Return the filter's instructions: an operation, two distances to jump, and a value."""
    load, equal, greater, any_bit, give = 0x20, 0x15, 0x25, 0x45, 0x06

    def load_argument(index: int, is_high: bool = False) -> tuple[int, int, int, int]:
        return (load, 0, 0, 16 + 8 * index + 4 * is_high)

    def one_of(number: int, argument: int, values: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
        tests = [step for value in values for step in ((equal, 0, 1, value), (give, 0, 0, _ALLOW))]
        body = [load_argument(argument), *tests, (give, 0, 0, _ERRNO | _EPERM)]
        return [(equal, 0, len(body), number), *body]

    def without_bits(number: int, argument: int, bits: int, error: int) -> list[tuple[int, int, int, int]]:
        body = [
            load_argument(argument), (any_bit, 0, 1, bits), (give, 0, 0, _ERRNO | error), (give, 0, 0, _ALLOW)
        ]  # fmt: skip
        return [(equal, 0, len(body), number), *body]

    set_flags = [
        load_argument(1), (equal, 0, 3, _F_SETFL), load_argument(2), (any_bit, 0, 1, _O_ASYNC),
        (give, 0, 0, _ERRNO | _EPERM),
    ]  # fmt: skip
    clone = [
        load_argument(0), (any_bit, 1, 0, _THREAD_FLAGS), (give, 0, 0, _ERRNO | _EPERM),
        (any_bit, 0, 1, _FORBIDDEN_CLONE_FLAGS), (give, 0, 0, _ERRNO | _EPERM), (give, 0, 0, _ALLOW),
    ]  # fmt: skip
    read_limits = [  # of this process, without a new value
        load_argument(0), (equal, 0, 5, 0), load_argument(2), (equal, 0, 3, 0), load_argument(2, True),
        (equal, 0, 1, 0), (give, 0, 0, _ALLOW), (give, 0, 0, _ERRNO | _EPERM),
    ]  # fmt: skip
    fcntl = one_of(_FCNTL, 1, (*_FCNTL_COMMANDS, _F_SETFL))
    fcntl = [(equal, 0, len(set_flags) + len(fcntl) - 1, _FCNTL), *set_flags, *fcntl[1:]]
    return [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, _X86_64),
        (give, 0, 0, _KILL),
        (load, 0, 0, 0),  # the number of the call
        (greater, 0, 1, 0x3FFFFFFF),
        (give, 0, 0, _KILL),  # an x32 call
        (greater, 0, 1, _MAX_SYSCALL),
        (give, 0, 0, _ERRNO | _ENOSYS),
        (equal, 0, 1, _CLONE3),  # its flags are in memory, invisible to a filter; the C library falls back to clone
        (give, 0, 0, _ERRNO | _ENOSYS),
        *(step for number in _ALLOWED_SYSCALLS for step in ((equal, 0, 1, number), (give, 0, 0, _ALLOW))),
        *without_bits(_OPEN, 1, _WRITING_FLAGS, _EACCES),
        *without_bits(_OPENAT, 2, _WRITING_FLAGS, _EACCES),
        *one_of(_IOCTL, 1, _IOCTL_REQUESTS),
        *one_of(_PRCTL, 0, (_PR_SET_NAME, _PR_GET_NAME)),
        (equal, 0, len(read_limits), _PRLIMIT),
        *read_limits,
        (equal, 0, len(clone), _CLONE),
        *clone,
        *fcntl,
        (give, 0, 0, _ERRNO | _EPERM),
    ]


def _mount_folder(source: str, target: str, flags: int, kind: str = "") -> bool:
    encoded_kind = kind.encode() if kind else None
    return not _LIBC.mount(source.encode(), os.fsencode(target), encoded_kind, ctypes.c_ulong(flags), None)


def _write_file(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _call_prctl(option: int, first: int, second: bytes | int = 0) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(first), second, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option} is refused")


def _call_kernel(number: int, *arguments: Any) -> int:
    status = _LIBC.syscall(number, *arguments)
    if status < 0:
        raise OSError(ctypes.get_errno(), f"system call {number} is refused")
    return status
