"""The C++ of this package, compiled on first use with the system's compiler and kept in the user's cache folder."""

import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import torch

SOURCES = ("decode.cpp", "attention.h", "matrix.h", "vectors.h")  # the first includes the others
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-fopenmp", "-ffp-contract=off", "-Wno-psabi")
# What a machine must have, in torch's words, and the compiler's flags for it; the first that fits is taken.
PATHS = {
    "avx512": (
        ("avx512_f", "avx512_bw", "avx512_vl", "avx512_vnni"),
        ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mavx2", "-mfma", "-mf16c"),
    ),
    "avx2": (("avx2", "fma3", "f16c"), ("-mavx2", "-mfma", "-mf16c")),
}
SECONDS = 300  # to compile in, on a busy machine


def available() -> str:
    """Why there is no native decoding here, or "" where there is."""
    try:
        library()
    except OSError as error:
        return str(error)
    return ""


@lru_cache
def library(path: str = "") -> ctypes.CDLL:
    """The compiled library, of the best path that this machine has, or the one named.

    Raises OSError, saying why, where the machine or its compiler cannot do it.
    """
    path = path or best_path()
    compiler = found_compiler()
    kept = cache_folder() / f"decode-{fingerprint(compiler, path)}.so"
    if not kept.exists():
        compiled(compiler, path, kept)
    return ctypes.CDLL(str(kept))


def best_path() -> str:
    has = torch.cpu.get_capabilities()
    for path, (needed, _) in PATHS.items():
        if all(has.get(name) for name in needed):
            return path
    raise OSError(f"Native decoding needs a processor with AVX2 or AVX-512, and this {platform.machine()} has neither.")


def found_compiler() -> str:
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        if found := shutil.which(name):
            return found
    raise OSError("Native decoding needs a C++ compiler, and there is none: install g++ or clang++, or name it in CXX.")


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "genloom" / "native"


def fingerprint(compiler: str, path: str) -> str:
    """What the library depends on: its source, the flags, and the compiler and OpenMP library of this machine."""
    folder = Path(__file__).parent
    parts = [(folder / name).read_bytes() for name in SOURCES]
    parts += [" ".join((compiler, *FLAGS, *PATHS[path][1], *openmp())).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


def openmp() -> tuple[str, ...]:
    """torch's own OpenMP library where it brings one: two in one process would have their threads spin against each
    other."""
    return tuple(str(p) for p in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")))


def compiled(compiler: str, path: str, target: Path) -> None:
    """Compile to `target`, which appears whole; of several processes one compiles and the others wait."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(target.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return
        aside = target.with_suffix(f".{os.getpid()}.tmp")
        source = Path(__file__).with_name(SOURCES[0])
        command = [compiler, *FLAGS, *PATHS[path][1], str(source), *openmp(), "-Wl,--as-needed", "-o", str(aside)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            if done.returncode:
                lines = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr.strip()]
                raise OSError(f"{compiler} could not compile Genloom's native decoding: {lines[0]}")
            os.replace(aside, target)
        except subprocess.TimeoutExpired:
            raise OSError(f"{compiler} did not compile Genloom's native decoding in {SECONDS} s.") from None
        finally:
            aside.unlink(missing_ok=True)
