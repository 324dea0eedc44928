"""What a run keeps of its data, by digest: files that are damaged are noticed and made again."""

from collections.abc import Sequence
from pathlib import Path

from genloom.store.files import hash_file, write_atomic

DIGEST_FILE = "train.sha256"


def mark_complete(folder: Path, names: Sequence[str]) -> None:
    """Say that these files are complete, and what is in them; written after them."""
    write_atomic(folder / DIGEST_FILE, "".join(f"{hash_file(folder / name)}  {name}\n" for name in names))


def read_digests(folder: Path) -> dict[str, str]:
    """The digests that the files had, by name; none where they were never complete."""
    path = folder / DIGEST_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    return {Path(name).name: sha for sha, _, name in (line.partition("  ") for line in lines)}


def is_complete(folder: Path) -> bool:
    """Whether all files that were sealed are there."""
    names = read_digests(folder)
    return bool(names) and all((folder / name).is_file() for name in names)


def discard_damaged(folder: Path) -> str:
    """Remove the files that are not what was written, to be made again; what to tell, or nothing."""
    damaged_names = [
        n for n, sha in read_digests(folder).items() if (folder / n).is_file() and hash_file(folder / n) != sha
    ]
    for name in damaged_names:
        (folder / name).unlink()
    if not damaged_names:
        return ""
    return f"{', '.join(damaged_names)} is damaged (its digest does not match): the data are encoded again."
