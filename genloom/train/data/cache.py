"""The encoded data in a run's folder: digests that reveal damage, and sharing between runs on the same data."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genloom import __version__
from genloom.model import Design
from genloom.settings import to_plain
from genloom.store.dataset import Dataset
from genloom.store.files import hash_file, write_atomic
from genloom.types import Codec

DIGEST_FILE = "train.sha256"
KEY_FILE = "train.key"


def mark_complete(folder: Path, names: Sequence[str]) -> None:
    """Record that these files are complete, with their digests; call it after writing them."""
    write_atomic(folder / DIGEST_FILE, "".join(f"{hash_file(folder / name)}  {name}\n" for name in names))


def read_digests(folder: Path) -> dict[str, str]:
    """Return the recorded digests by file name; empty if the files were never complete."""
    path = folder / DIGEST_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    return {Path(name).name: sha for sha, _, name in (line.partition("  ") for line in lines)}


def is_complete(folder: Path) -> bool:
    """Return whether every recorded file exists."""
    names = read_digests(folder)
    return bool(names) and all((folder / name).is_file() for name in names)


def discard_damaged(folder: Path) -> str:
    """Delete files that do not match their digests, so that they are encoded again; return a warning or ""."""
    damaged_names = [
        name
        for name, sha in read_digests(folder).items()
        if (folder / name).is_file() and hash_file(folder / name) != sha
    ]
    for name in damaged_names:
        (folder / name).unlink()
    if not damaged_names:
        return ""
    return f"{', '.join(damaged_names)} is damaged (its digest does not match). The data are encoded again."


def compute_cache_key(dataset: Dataset, codec: Codec, design: Design) -> str:
    """Return a digest of everything that encoded samples depend on: data, codec, conditions and this code."""
    with tempfile.TemporaryDirectory() as temp_folder:
        codec.save(Path(temp_folder))
        digests = {
            str(path.relative_to(temp_folder)): hash_file(path)
            for path in Path(temp_folder).rglob("*")
            if path.is_file()
        }
    text_encoder = design.text_encoder, dict(design.text_encoder_settings)
    key_parts: list[Any] = [__version__, dataset.digest, design.codec, digests, *text_encoder]
    if design.conditions:
        key_parts.append(to_plain(design.conditions))
    return hashlib.sha256(json.dumps(key_parts, sort_keys=True).encode()).hexdigest()


def publish_samples(folder: Path, key: str, names: Sequence[str]) -> None:
    """Record that the samples in these files are complete, and offer them to other runs."""
    write_atomic(folder / KEY_FILE, key)
    mark_complete(folder, [KEY_FILE, *names])


def restore_samples(folder: Path, key: str) -> bool:
    """Hard-link the samples of another run with this key into `folder`; return whether an undamaged set was found."""
    for path in sorted(folder.parent.glob(f"*/{KEY_FILE}"), reverse=True):
        other_folder = path.parent
        try:
            digests = read_digests(other_folder) if other_folder != folder and path.read_text() == key else {}
            if digests and all(hash_file(other_folder / name) == sha for name, sha in digests.items()):
                for name in digests:
                    (folder / name).unlink(missing_ok=True)
                    os.link(other_folder / name, folder / name)
                return True
        except OSError:  # the folder is being removed, or cannot be linked from: encode again
            continue
    return False
