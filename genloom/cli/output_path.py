"""Where results shall be put, looked at before the work: what could not be written there would be lost."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def resolve_output_file(out: Path, name: str) -> Path:
    """The file to write for --out: `out`, or `name` in it where that is a folder. ValueError if it can't be written."""
    path = out / name if os.path.isdir(out) else out
    if os.path.isdir(path):
        raise ValueError(f"--out {path} is a folder, and a file is to be written. Name a file.")
    if os.path.lexists(path) and not os.path.isfile(path):  # a device would be replaced by the file
        raise ValueError(f"--out {path} is no plain file. Name one, or a name that is not taken yet.")
    _check_writable(f"--out {path}", path, path.parent)
    return path


def resolve_output_folder(out: Path) -> Path:
    """The folder for --out, which need not be there yet. ValueError, with the cure, if it can't be written into."""
    _check_writable(f"--out {out}", out, out)
    return out


def resolve_new_path(out: Path) -> Path:
    """A place where nothing is yet. ValueError, with the cure, if there is something or it can't be written."""
    if os.path.lexists(out):
        raise ValueError(f"{out} exists already. Choose another name or move it away.")
    _check_writable(str(out), out, out.parent)
    return out


def _check_writable(label: str, path: Path, folder: Path) -> None:
    nearest_parent = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    if not os.path.isdir(nearest_parent):
        raise ValueError(
            f"{label} can't be made: {nearest_parent} is a file, where a folder is needed. Name another place."
        )
    try:
        with suppress(FileNotFoundError):
            os.lstat(path)  # of a name that is too long it says so
        with tempfile.TemporaryFile(dir=nearest_parent):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"{label} can't be written: {reason}. Name another place.") from None
