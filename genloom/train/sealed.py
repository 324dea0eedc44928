"""What a run keeps of its data, by digest: files that are damaged are noticed and made again."""

from collections.abc import Sequence
from pathlib import Path

from genloom.store.files import digest, write_atomic

DIGEST = "train.sha256"


def seal(folder: Path, names: Sequence[str]) -> None:
    """Say that these files are complete, and what is in them; written after them."""
    write_atomic(folder / DIGEST, "".join(f"{digest(folder / name)}  {name}\n" for name in names))


def told(folder: Path) -> dict[str, str]:
    """The digests that the files had, by name; none where they were never complete."""
    path = folder / DIGEST
    lines = path.read_text().splitlines() if path.exists() else []
    return {Path(name).name: sha for sha, _, name in (line.partition("  ") for line in lines)}


def whole(folder: Path) -> bool:
    """Whether all files that were sealed are there."""
    names = told(folder)
    return bool(names) and all((folder / name).is_file() for name in names)


def discard_damaged(folder: Path) -> str:
    """Remove the files that are not what was written, to be made again; what to tell, or nothing."""
    damaged = [n for n, sha in told(folder).items() if (folder / n).is_file() and digest(folder / n) != sha]
    for name in damaged:
        (folder / name).unlink()
    if not damaged:
        return ""
    return f"{', '.join(damaged)} is damaged (its digest does not match): the data are encoded again."
