"""Compiles the C++ of this package on first use with the system's compiler, into the user's cache folder."""

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

from genloom.cache_folder import find_cache_folder
from genloom.errors import GenloomError, format_message
from genloom.waiting import find_openmp

SOURCE_FILES = ("decode.cpp", "attention.h", "matrix.h", "vectors.h")  # the first includes the others
COMPILER_FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-fopenmp", "-ffp-contract=off", "-Wno-psabi")
# The required CPU capabilities, by torch's names, and the compiler flags; the first supported set is used.
INSTRUCTION_SETS = {
    "avx512": (
        ("avx512_f", "avx512_bw", "avx512_vl", "avx512_vnni"),
        ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mavx2", "-mfma", "-mf16c"),
    ),
    "avx2": (("avx2", "fma3", "f16c"), ("-mavx2", "-mfma", "-mf16c")),
}
COMPILE_TIMEOUT_S = 300  # generous, for a busy machine


def get_unavailable_reason() -> str:
    """Return why native decoding is unavailable here, or "" if it is available."""
    try:
        load_library()
    except (OSError, GenloomError) as error:
        return str(error)
    return ""


@lru_cache
def load_library(instruction_set: str = "") -> ctypes.CDLL:
    """Return the compiled library for an instruction set, "" for the best that this machine has.

    Raise OSError with the reason if the machine or its compiler does not support it, GenloomError for a user without
    a home folder.
    """
    instruction_set = instruction_set or detect_instruction_set()
    compiler = find_compiler()
    library_path = find_cache_folder() / "native" / f"decode-{compute_fingerprint(compiler, instruction_set)}.so"
    if not library_path.exists():
        compile_library(compiler, instruction_set, library_path)
    return ctypes.CDLL(str(library_path))


def detect_instruction_set() -> str:
    capabilities = torch.cpu.get_capabilities()
    for instruction_set, (required, _) in INSTRUCTION_SETS.items():
        if all(capabilities.get(name) for name in required):
            return instruction_set
    raise OSError(format_message("networks.no_vector_instructions", machine=platform.machine()))


def find_compiler() -> str:
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        if compiler_path := shutil.which(name):
            return compiler_path
    raise OSError(format_message("networks.no_compiler"))


def compute_fingerprint(compiler: str, instruction_set: str) -> str:
    """Return a hash of what the library depends on: its source, the flags, the compiler and the OpenMP library."""
    folder = Path(__file__).parent
    parts = [(folder / name).read_bytes() for name in SOURCE_FILES]
    flags = (*COMPILER_FLAGS, *INSTRUCTION_SETS[instruction_set][1], *map(str, find_openmp()))
    parts += [" ".join((compiler, *flags)).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


def compile_library(compiler: str, instruction_set: str, target: Path) -> None:
    """Compile to `target` atomically; of several processes, one compiles and the others wait."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(target.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return
        temp_path = target.with_suffix(f".{os.getpid()}.tmp")
        source = Path(__file__).with_name(SOURCE_FILES[0])
        command = [
            compiler,
            *COMPILER_FLAGS,
            *INSTRUCTION_SETS[instruction_set][1],
            str(source),
            *map(str, find_openmp()),
            "-Wl,--as-needed",
            "-o",
            str(temp_path),
        ]
        try:
            process = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False)
            if process.returncode:
                lines = [line for line in process.stderr.splitlines() if "error" in line] or [process.stderr.strip()]
                raise OSError(format_message("networks.compile_failed", compiler=compiler, reason=lines[0]))
            os.replace(temp_path, target)
        except subprocess.TimeoutExpired:
            raise OSError(
                format_message("networks.compile_timeout", compiler=compiler, seconds=COMPILE_TIMEOUT_S)
            ) from None
        finally:
            temp_path.unlink(missing_ok=True)
