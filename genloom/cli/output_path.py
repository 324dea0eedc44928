"""Output paths, checked before the work: a result that cannot be written would be lost."""

import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from genloom.errors import GenloomError, format_message
from genloom.text_format import remove_controls

# The suffixes that a file may have whose content is of the format of the first.
_ALIKE = {
    ".html": (".html", ".htm"),
    ".png": (".png",),
    ".md": (".md", ".markdown", ".txt"),
    ".json": (".json", ".jsonld"),
    ".jsonl": (".jsonl", ".ndjson", ".json", ".txt"),
}
_FORMATS = frozenset(
    (
        *(suffix for suffixes in _ALIKE.values() for suffix in suffixes),
        *(".jpg", ".jpeg", ".gif", ".svg", ".webp", ".pdf", ".csv", ".docx", ".zip", ".gz", ".wav", ".mid"),
    )
)

_folders: set[Path] = set()  # that arguments name with a slash at their end
_present_files: dict[Path, tuple[int, ...]] = {}  # that --out names, with what tells whether they were written


def note_folders(arguments: Iterable[str]) -> None:
    """Remember the paths in arguments that end in a slash, which a Path forgets: they are folders."""
    values = [argument.partition("=")[2] if argument.startswith("--") else argument for argument in arguments]
    _folders.clear()
    _folders.update(Path(value) for value in (*arguments, *values) if value.endswith("/"))


def is_folder_name(out: Path) -> bool:
    """Return whether a path names a folder: one is there, or the argument ends in a slash."""
    return out in _folders or os.path.isdir(out)


def resolve_output_file(out: Path, name: str) -> Path:
    """Return the file to write for --out: `out`, or `name` in the folder `out`; raise if it is not writable.

    A path without a suffix that does not exist yet is a folder, as for verbs that write several files.
    """
    is_folder = is_folder_name(out) or (not out.suffix and not os.path.lexists(out))
    path, suffix = out / name if is_folder else out, Path(name).suffix
    if suffix in _ALIKE and path.suffix.lower() in _FORMATS.difference(_ALIKE[suffix]):
        raise GenloomError("cli.out_of_other_format", out=out, given=path.suffix, suffix=suffix)
    if os.path.isdir(path):
        raise GenloomError("cli.out_is_folder", path=path)
    if os.path.lexists(path) and not os.path.isfile(path):  # a device would be replaced by the file
        raise GenloomError("cli.out_is_no_file", path=path)
    _check_writable(f"--out {out}", path, path.parent)
    return warn_of_replacement(path)


def warn_of_replacement(path: Path) -> Path:
    """Return the path of a file to write; if one is there, `note_replacements` tells once it has been replaced."""
    if path.is_file():
        _present_files[path] = _identify_file(path)
    return path


def note_replacements() -> None:
    """Say on standard error which files were replaced, as other tools do silently; those that stay are not named."""
    for path, identity in _present_files.items():
        if path.is_file() and _identify_file(path) != identity:
            note_replacement(path)
    _present_files.clear()


def _identify_file(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def note_replacement(path: Path) -> None:
    """Say on standard error that a file is replaced."""
    print(format_message("cli.out_replaced", path=remove_controls(str(path))), file=sys.stderr, flush=True)


def resolve_output_folder(out: Path) -> Path:
    """Return the folder for --out, which need not exist yet; raise if it is not writable."""
    _check_writable(f"--out {out}", out, out)
    return out


def resolve_report_folder(out: Path) -> Path:
    """Return the folder for the several files of a report; raise if --out names a file, or is not writable."""
    if out.suffix.lower() in _FORMATS and not is_folder_name(out):
        raise GenloomError("cli.out_is_no_folder", out=out, folder=out.with_suffix(""))
    return resolve_output_folder(out)


def is_file_name(out: Path) -> bool:
    """Return whether --out names a file: it has a suffix, ends in no slash, and no folder has this name."""
    return bool(out.suffix) and not is_folder_name(out)


def name_copy(out: Path, name: str, number: int, count: int) -> Path:
    """Return where to copy output `number` of `count`: into the folder `out`, or to the file, numbered if several."""
    if not is_file_name(out):
        return out / name
    return out if count == 1 else out.with_stem(f"{out.stem}-{number}")


def resolve_new_path(out: Path) -> Path:
    """Return a path that does not exist yet; raise if it does or is not writable."""
    if os.path.lexists(out):
        raise GenloomError("cli.path_exists", path=out)
    _check_writable(str(out), out, out.parent)
    return out


def _check_writable(label: str, path: Path, folder: Path) -> None:
    nearest_parent = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    if not os.path.isdir(nearest_parent):
        raise GenloomError("cli.parent_is_file", label=label, parent=nearest_parent)
    try:
        with suppress(FileNotFoundError):
            os.lstat(path)  # raises for a name that is too long
        with tempfile.TemporaryFile(dir=nearest_parent):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise GenloomError("cli.path_not_writable", label=label, reason=reason) from None
