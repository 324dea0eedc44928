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
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DRAFT = ".draft"
_SWEEP_AFTER_SECONDS = 60.0  # longer than the moment between making a draft and locking it


@contextmanager
def plain_errors(path: Path) -> Generator[None]:
    """Say in the user's words why `path`, a folder above it or a draft beside it can't be written, and the cure.

    Raises ValueError for those; an OSError about another file passes unchanged.
    """
    try:
        yield
    except OSError as error:
        reason = _reason(error, path)
        if reason is None:
            raise
        raise ValueError(reason) from error


def told(error: OSError) -> str:
    """One line for an error of the system that nobody expected: the file where it is known, the reason, the cure."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    if error.errno in _FULL or error.errno in (errno.EFBIG, errno.EROFS):  # which only writing meets
        return _reason(error, Path(where.removesuffix(": ") or "This disk")) or str(error)
    reason = error.strerror or str(error)
    cure = "See that it can be read and written, or name another place, and give the command again."
    return f"{where}{reason[:1].lower() if where else reason[:1]}{reason[1:]}. {cure}"


def _reason(error: OSError, path: Path) -> str | None:
    number, elsewhere = error.errno, "or choose another folder with --workspace or GENLOOM_HOME"
    if number in _FULL:
        return f"{path}: the disk is full. Free some space {elsewhere}; nothing that was complete is lost."
    if number in (errno.EACCES, errno.EPERM):
        return f"{path}: no permission to write there. Change the permissions {elsewhere}."
    if number == errno.EROFS:
        return f"{path}: the file system is read-only. Mount it for writing {elsewhere}."
    if number == errno.EFBIG:
        return f"{path}: the file is larger than is allowed here. Raise the limit (ulimit -f) {elsewhere}."
    if number in (errno.ENOTDIR, errno.EEXIST):
        blocking = next((p for p in (path, *path.parents) if p.is_file()), path)
        return f"{blocking}: a file stands where a folder is needed. Move it away {elsewhere}."
    if number == errno.ENAMETOOLONG:
        return f"{path}: the name is too long for this file system. Choose a shorter one."
    if not _ours(error, path):
        return None
    if number == errno.EISDIR:
        return f"{path}: a folder stands where a file is to be written. Move it away, or choose another name."
    if number == errno.EIO:
        return f"{path}: the disk does not do what it is asked. Look after it {elsewhere}."
    if number is not None:
        return f"{path}: nothing can be written there ({os.strerror(number).lower()}). Mend that {elsewhere}."
    return None


def _ours(error: OSError, path: Path) -> bool:
    """Whether the error is about `path`, what lies above it or a draft beside it; one that names no file is."""
    if not isinstance(error.filename, str | bytes):
        return True
    named = Path(os.fsdecode(error.filename))
    return named in (path, *path.parents) or any(each.name.endswith(_DRAFT) for each in (named, *named.parents))


def write_atomic(path: Path, data: bytes | str) -> None:
    """Put `data` (text as UTF-8) at `path`, replacing what was there; a reader sees the old or the new, never a part.

    Missing parent folders are made. Raises ValueError, naming the cure, when the place can't be written.
    """
    content = data.encode() if isinstance(data, str) else data
    with plain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft_name(path.parent)
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
        sync(path.parent)


@contextmanager
def replaced(path: Path) -> Generator[Path]:
    """A draft next to `path` to write a long file into; it takes the place of `path` when the block ends well.

    Raises ValueError, naming the cure, when the place can't be written.
    """
    with plain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft_name(path.parent)
        try:
            yield draft
            sync(draft)
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync(path.parent)


@contextmanager
def aside(parent: Path) -> Generator[Path]:
    """A new folder in `parent` to fill and then to `settle`; whatever is left of it at the end is removed.

    A process that is killed leaves the folder behind, unlocked: `sweep` finds and removes it.
    """
    with _home(parent):
        with plain_errors(parent):
            draft = _draft_name(parent)
            draft.mkdir()
        lock = os.open(draft, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield draft
            except OSError as error:
                # The body also reads what is the user's: only trouble with our own folder is put in our words.
                inside = str(error.filename or "").startswith(str(draft))
                reason = _reason(error, parent)
                if reason is None or not (inside or error.errno in (*_FULL, errno.EFBIG, errno.EROFS)):
                    raise
                raise ValueError(reason) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            os.close(lock)


@contextmanager
def _home(parent: Path) -> Generator[None]:
    """Make the folder if it is missing; one that was made so and holds nothing at the end is removed again."""
    with plain_errors(parent):
        missing = not parent.exists()
        parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if missing:
            with suppress(OSError):  # something is in it: what became of the draft, or another's
                parent.rmdir()


def settle(draft: Path, final: Path) -> bool:
    """Sync the folder `draft` to disk and rename it to `final`; False, and `draft` stays, if the name is taken."""
    with plain_errors(final):
        for folder, _, names in os.walk(draft, topdown=False):
            for name in names:
                sync(Path(folder, name))
            sync(Path(folder))
        try:
            os.rename(draft, final)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        sync(final.parent)
    return True


@contextmanager
def folder_aside(final: Path) -> Generator[Path]:
    """Fill a folder next to `final` that becomes `final` when the block ends well and vanishes when it fails.

    Raises ValueError if `final` exists or can't be written.
    """
    with aside(final.parent) as draft:
        yield draft
        if not settle(draft, final):
            raise ValueError(f"{final} exists already. Choose another name or move it away.")


def sweep(parent: Path) -> list[Path]:
    """Remove the drafts in `parent` whose writer is dead, and return them; drafts being written are locked and stay."""
    removed = []
    for draft in drafts(parent):
        try:
            if time.time() - draft.lstat().st_mtime < _SWEEP_AFTER_SECONDS:
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
            removed.append(draft)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
    return removed


def drafts(parent: Path) -> list[Path]:
    """The unfinished files and folders in `parent`."""
    return sorted(parent.glob(f".*{_DRAFT}")) if parent.is_dir() else []


@contextmanager
def locked(folder: Path, busy: str = "") -> Generator[None]:
    """Hold `folder`, made if missing, against every other process that asks for it in the same way.

    Waits for another holder to end, or, where `busy` says what it does, raises ValueError with that.
    """
    with plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise ValueError(busy) from None
        yield
    finally:
        os.close(lock)


def sync(path: Path) -> None:
    """Wait until the file or folder itself is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(path: Path) -> str:
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
        while (left := size - file.tell()) > 0:
            file.write(zeros[:left])


def free_bytes(path: Path) -> int:
    """How much can still be written at `path`, which need not exist yet."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def _draft_name(parent: Path) -> Path:
    return parent / f".{secrets.token_hex(6)}{_DRAFT}"
