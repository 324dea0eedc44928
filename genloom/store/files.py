"""Files and folders appear whole or not at all: written aside, synced, renamed."""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = 1 << 20
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_DRAFT_SUFFIX = ".draft"
_STALE_AFTER_SECONDS = 60.0  # longer than the moment between making a draft and locking it


@contextmanager
def translate_errors(path: Path) -> Generator[None]:
    """Say in the user's words why `path`, a folder above it or a draft beside it can't be written, and the cure.

    Raises ValueError for those; an OSError about another file passes unchanged.
    """
    try:
        yield
    except OSError as error:
        reason = _explain_error(error, path)
        if reason is None:
            raise
        raise ValueError(reason) from error


def describe_error(error: OSError) -> str:
    """One line for an error of the system that nobody expected: the file where it is known, the reason, the cure."""
    prefix = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    if error.errno in _FULL_ERRNOS or error.errno in (errno.EFBIG, errno.EROFS):  # which only writing meets
        return _explain_error(error, Path(prefix.removesuffix(": ") or "This disk")) or str(error)
    reason = error.strerror or str(error)
    cure = "See that it can be read and written, or name another place, and give the command again."
    return f"{prefix}{reason[:1].lower() if prefix else reason[:1]}{reason[1:]}. {cure}"


def _explain_error(error: OSError, path: Path) -> str | None:
    code, hint = error.errno, "or choose another folder with --workspace or GENLOOM_HOME"
    if code in _FULL_ERRNOS:
        return f"{path}: the disk is full. Free some space {hint}; nothing that was complete is lost."
    if code in (errno.EACCES, errno.EPERM):
        return f"{path}: no permission to write there. Change the permissions {hint}."
    if code == errno.EROFS:
        return f"{path}: the file system is read-only. Mount it for writing {hint}."
    if code == errno.EFBIG:
        return f"{path}: the file is larger than is allowed here. Raise the limit (ulimit -f) {hint}."
    if code in (errno.ENOTDIR, errno.EEXIST):
        blocker = next((p for p in (path, *path.parents) if p.is_file()), path)
        return f"{blocker}: a file stands where a folder is needed. Move it away {hint}."
    if code == errno.ENAMETOOLONG:
        return f"{path}: the name is too long for this file system. Choose a shorter one."
    if not _is_about_path(error, path):
        return None
    if code == errno.EISDIR:
        return f"{path}: a folder stands where a file is to be written. Move it away, or choose another name."
    if code == errno.EIO:
        return f"{path}: the disk does not do what it is asked. Look after it {hint}."
    if code is not None:
        return f"{path}: nothing can be written there ({os.strerror(code).lower()}). Mend that {hint}."
    return None


def _is_about_path(error: OSError, path: Path) -> bool:
    """Whether the error is about `path`, what lies above it or a draft beside it; one that names no file is."""
    if not isinstance(error.filename, str | bytes):
        return True
    error_path = Path(os.fsdecode(error.filename))
    return error_path in (path, *path.parents) or any(
        candidate.name.endswith(_DRAFT_SUFFIX) for candidate in (error_path, *error_path.parents)
    )


def write_atomic(path: Path, data: bytes | str) -> None:
    """Put `data` (text as UTF-8) at `path`, replacing what was there; a reader sees the old or the new, never a part.

    Missing parent folders are made. Raises ValueError, naming the cure, when the place can't be written.
    """
    content = data.encode() if isinstance(data, str) else data
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _new_draft_path(path.parent)
        # Exclusive, so that a draft of somebody else is never written into.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        fsync(path.parent)


@contextmanager
def open_replacement(path: Path) -> Generator[Path]:
    """A draft next to `path` to write a long file into; it takes the place of `path` when the block ends well.

    Raises ValueError, naming the cure, when the place can't be written.
    """
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _new_draft_path(path.parent)
        try:
            yield draft
            fsync(draft)
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        fsync(path.parent)


@contextmanager
def temp_folder(parent: Path) -> Generator[Path]:
    """A new folder in `parent` to fill and then to `settle`; whatever is left of it at the end is removed.

    A process that is killed leaves the folder behind, unlocked: `sweep` finds and removes it.
    """
    with _ensure_parent(parent):
        with translate_errors(parent):
            draft = _new_draft_path(parent)
            draft.mkdir()
        lock = os.open(draft, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield draft
            except OSError as error:
                # The body also reads what is the user's: only trouble with our own folder is put in our words.
                is_inside = str(error.filename or "").startswith(str(draft))
                reason = _explain_error(error, parent)
                if reason is None or not (is_inside or error.errno in (*_FULL_ERRNOS, errno.EFBIG, errno.EROFS)):
                    raise
                raise ValueError(reason) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            os.close(lock)


@contextmanager
def _ensure_parent(parent: Path) -> Generator[None]:
    """Make the folder if it is missing; one that was made so and holds nothing at the end is removed again."""
    with translate_errors(parent):
        is_missing = not parent.exists()
        parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if is_missing:
            with suppress(OSError):  # something is in it: what became of the draft, or another's
                parent.rmdir()


def commit(draft: Path, final: Path) -> bool:
    """Sync the folder `draft` to disk and rename it to `final`; False, and `draft` stays, if the name is taken."""
    with translate_errors(final):
        for folder, _, names in os.walk(draft, topdown=False):
            for name in names:
                fsync(Path(folder, name))
            fsync(Path(folder))
        try:
            os.rename(draft, final)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        fsync(final.parent)
    return True


@contextmanager
def atomic_folder(final: Path) -> Generator[Path]:
    """Fill a folder next to `final` that becomes `final` when the block ends well and vanishes when it fails.

    Raises ValueError if `final` exists or can't be written.
    """
    with temp_folder(final.parent) as draft:
        yield draft
        if not commit(draft, final):
            raise ValueError(f"{final} exists already. Choose another name or move it away.")


def remove_stale_drafts(parent: Path) -> list[Path]:
    """Remove the drafts in `parent` whose writer is dead, and return them; drafts being written are locked and stay."""
    removed_drafts = []
    for draft in list_drafts(parent):
        try:
            if time.time() - draft.lstat().st_mtime < _STALE_AFTER_SECONDS:
                continue
            lock = os.open(draft, os.O_RDONLY)
        except OSError:  # its writer finished, or it is not ours to open
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink(missing_ok=True)
            removed_drafts.append(draft)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
    return removed_drafts


def list_drafts(parent: Path) -> list[Path]:
    """The unfinished files and folders in `parent`."""
    return sorted(parent.glob(f".*{_DRAFT_SUFFIX}")) if parent.is_dir() else []


@contextmanager
def lock_folder(folder: Path, busy_message: str = "") -> Generator[None]:
    """Hold `folder`, made if missing, against every other process that asks for it in the same way.

    Waits for another holder to end, or, where `busy` says what it does, raises ValueError with that.
    """
    with translate_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy_message else 0))
        except BlockingIOError:
            raise ValueError(busy_message) from None
        yield
    finally:
        os.close(lock)


def fsync(path: Path) -> None:
    """Wait until the file or folder itself is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def reserve(path: Path, size: int) -> None:
    """Make a file of `size` zeros whose room on the disk is taken already; OSError where there is not as much.

    A full disk kills a process that writes through a mapping into a file with holes, without a word.
    """
    with path.open("xb", buffering=0) as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # this file system can't, so we write
                    raise
        zeros = bytes(min(size, _CHUNK))
        while (remaining := size - file.tell()) > 0:
            file.write(zeros[:remaining])


def get_free_bytes(path: Path) -> int:
    """How much can still be written at `path`, which need not exist yet."""
    ancestor = path.absolute()
    while not ancestor.exists():
        ancestor = ancestor.parent
    return shutil.disk_usage(ancestor).free


def _new_draft_path(parent: Path) -> Path:
    return parent / f".{secrets.token_hex(6)}{_DRAFT_SUFFIX}"
