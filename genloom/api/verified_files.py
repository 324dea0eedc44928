"""The files that a verification reads: those that are named, and all in the folders that are named."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genloom.errors import GenloomError, format_message
from genloom.store import files, output_files

IsRecord = Callable[[Path], bool]


@dataclass(frozen=True)
class ListedFile:
    """A file to verify, or something that cannot be verified, with the reason (`problem`)."""

    path: Path
    problem: str = ""
    is_named: bool = False  # not found in a folder


def list_files(paths: Iterable[str | Path], is_record: IsRecord = lambda path: False) -> Iterator[ListedFile]:
    """Yield the files and those in the folders, without manifests that lie beside their files.

    In folders, those are left out, too, of which `is_record` is true: they are about the files beside them.

    Raises GenloomError (core.unreadable_file) for a path that is neither. In a folder, hidden files and folders are
    left out; what cannot be read there is yielded with its problem, so that nothing unread passes for verified.
    """
    from genloom.settings import build_unreadable_error
    from genloom.trust.manifests import SIDECAR_SUFFIX

    for each in paths:
        path = files.expand_home(each)
        if path.is_dir():
            yield from _walk_folder(path, is_record)
        elif not path.is_file():
            error = FileNotFoundError() if not os.path.lexists(path) else OSError(format_message("trust.not_a_file"))
            raise build_unreadable_error(path, "this file", error)
        else:
            is_manifest = path.suffix == SIDECAR_SUFFIX and path.with_suffix("").is_file()
            yield ListedFile(path.with_suffix("") if is_manifest else path, is_named=True)


def _walk_folder(top: Path, is_record: IsRecord) -> Iterator[ListedFile]:
    """Yield what is in a folder and the folders in it; links to folders are not followed."""
    from genloom.trust.manifests import SIDECAR_SUFFIX

    errors: list[OSError] = []
    for folder, folders, names in os.walk(top, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if os.path.islink(os.path.join(folder, name)):
                yield ListedFile(Path(folder, name), format_message("trust.link_to_folder"))
        signed = {*names, *(os.path.splitext(name)[0] for name in names if not name.endswith(SIDECAR_SUFFIX))}
        for name in sorted(names):
            if not name.startswith(".") and not is_record(path := Path(folder, name)):
                yield from _list_entry(path, signed)
    for error in errors:
        reason = format_message("trust.unread", reason=error.strerror or type(error).__name__)
        yield ListedFile(Path(os.fsdecode(error.filename or top)), reason)


def _list_entry(path: Path, signed: set[str]) -> Iterator[ListedFile]:
    """Yield a file; nothing for a manifest beside one of those `signed`, with or without the suffix of the file."""
    from genloom.trust.manifests import SIDECAR_SUFFIX

    if not path.is_file():
        yield ListedFile(path, format_message("trust.unread", reason=format_message("trust.not_a_file")))
    elif path.suffix != SIDECAR_SUFFIX:
        yield ListedFile(path)
    elif path.stem not in signed:
        yield ListedFile(path, format_message("trust.manifest_alone"))


def is_intact_record(outputs: Path, path: Path) -> bool:
    """Return whether a file is a record in the folder `outputs` of a workspace, and as it was written.

    That of an output is known by its digest. A record that was changed is a file without evidence.
    """
    if path.suffix != ".json" or not _is_same_folder(path.parent.parent, outputs):
        return path.name == output_files.NEWEST_FILE and _is_same_folder(path.parent, outputs)
    try:
        output_files.read_output(outputs, path.stem)
    except (GenloomError, OSError):
        return False
    return True


def _is_same_folder(folder: Path, other: Path) -> bool:
    try:
        return folder.samefile(other)
    except OSError:
        return False
