"""Packages of Debian with data, fetched by apt, checked by their digests, and read without being installed."""

import hashlib
import io
import lzma
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_UNPACKED_BYTES = 1 << 30
MAX_MEMBER_BYTES = 64 << 20


@dataclass(frozen=True)
class DebianPackage:
    """A pinned package, and the licence of the texts in it."""

    name: str
    version: str
    architecture: str
    sha256: str
    licence: str

    @property
    def file(self) -> str:
        """The name that apt gives the downloaded file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def fetch_package(folder: Path, package: DebianPackage) -> Path:
    """Return the file of a package in `folder`, downloaded by apt if missing; ValueError if its digest is another."""
    path = folder / package.file
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        call = ["apt-get", "download", f"{package.name}={package.version}"]
        try:
            done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
            reason = done.stderr.strip()[-300:]
        except FileNotFoundError:
            reason = "apt-get is not installed"
        if not path.exists():
            raise ValueError(
                f"apt could not fetch {package.name} {package.version} ({reason}). "
                f"Run apt-get update first, or put the file there yourself: {path}"
            )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != package.sha256:
        raise ValueError(f"{path} is not {package.name} {package.version} (its SHA-256 is {digest}). Delete it.")
    return path


def iter_members(deb: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield the paths and contents of the regular files in a package whose whole path fits a pattern."""
    wanted = re.compile(pattern)
    with tarfile.open(fileobj=io.BytesIO(read_data(deb))) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if not member.isreg() or member.size > MAX_MEMBER_BYTES or not wanted.fullmatch(name):
                continue
            file = archive.extractfile(member)
            if file is not None:
                yield name, file.read()


def read_data(deb: Path) -> bytes:
    """Return the unpacked archive of the files of a package (an ar archive that holds data.tar.xz)."""
    content = deb.read_bytes()
    if not content.startswith(b"!<arch>\n"):
        raise ValueError(f"{deb} is no Debian package. Delete it, and run again.")
    position = 8
    while position + 60 <= len(content):
        name, size = content[position : position + 16].decode("ascii", "replace").strip(), content[position + 48 :][:10]
        begin, length = position + 60, int(size)
        if name.startswith("data.tar"):
            data = content[begin : begin + length]
            if not name.rstrip("/").endswith(".xz"):
                raise ValueError(f"{deb} is packed as {name}; only .xz is read.")
            unpacked = lzma.LZMADecompressor().decompress(data, MAX_UNPACKED_BYTES)
            if len(unpacked) >= MAX_UNPACKED_BYTES:
                raise ValueError(f"{deb} unpacks to more than {MAX_UNPACKED_BYTES >> 20} MB.")
            return unpacked
        position = begin + length + length % 2
    raise ValueError(f"{deb} holds no files.")
