"""Atomic writes: files and folders are written under a temporary name, synced and renamed."""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from genloom.errors import GenloomError, format_message
from genloom.store import mirror

_CHUNK = 1 << 20
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_DRAFT_SUFFIX = ".draft"
_STALE_AFTER_SECONDS = 60.0  # longer than the moment between making a draft and locking it


@contextmanager
def translate_errors(path: Path) -> Generator[None]:
    """Turn an OSError about `path`, a folder above it or a draft next to it into a ValueError that names the cure.

    An OSError about another file passes unchanged.
    """
    try:
        yield
    except Exception as error:
        system_error = _find_system_error(error)
        explained = _explain_error(system_error, path) if system_error else None
        if explained is None:
            raise
        raise explained from error


def _find_system_error(error: Exception) -> OSError | None:
    """Return the error of the system, also where a library words it in its own way; None for another kind of error."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    if match := re.search(r"\(os error (\d{1,4})\)$", str(error)):  # libraries in Rust
        return OSError(int(match[1]), os.strerror(int(match[1])))
    if isinstance(error, OSError) and re.fullmatch(r"\d+ requested and \d+ written", str(error)):  # NumPy
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def is_on_read_only_disk(path: Path) -> bool:
    """Return whether the file system of a path, or of the first folder above it that exists, is read-only."""
    place = next(each for each in (path, *path.absolute().parents) if each.exists())
    return bool(os.statvfs(place).f_flag & os.ST_RDONLY)


def describe_error(error: OSError) -> str:
    """Return one line for an unexpected OSError: the file if it is known, the reason and the cure."""
    prefix = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    if error.errno in _FULL_ERRNOS or error.errno in (errno.EFBIG, errno.EROFS):  # which only writing meets
        return str(_explain_error(error, Path(prefix.removesuffix(": ") or "This disk")) or error)
    if error.errno == errno.ENOENT and not prefix:
        if "temporary directory" in str(error.strerror):  # of tempfile
            return format_message("store.no_temp_folder")
        return format_message("store.no_current_folder")  # of os.getcwd
    reason = error.strerror or str(error)
    reason = (reason[:1].lower() if prefix else reason[:1]) + reason[1:]
    return format_message("store.system_error", prefix=prefix, reason=reason)


def _explain_error(error: OSError, path: Path) -> GenloomError | None:
    code, hint = error.errno, format_message("store.workspace_hint")
    if code in _FULL_ERRNOS:
        return GenloomError("store.disk_full", path=path, hint=hint)
    if code in (errno.EACCES, errno.EPERM):
        return GenloomError("store.no_permission", path=path, hint=hint)
    if code == errno.EROFS:
        return GenloomError("store.read_only", path=path, hint=hint)
    if code == errno.EFBIG:
        return GenloomError("store.file_too_large", path=path, hint=hint)
    if code in (errno.ENOTDIR, errno.EEXIST):
        blocker = next((p for p in (path, *path.parents) if p.is_file()), path)
        return GenloomError("store.file_blocks_folder", path=blocker, hint=hint)
    if code == errno.ENAMETOOLONG:
        return GenloomError("store.name_too_long_here", path=path)
    if not _is_about_path(error, path):
        return None
    if code == errno.EISDIR:
        return GenloomError("store.folder_blocks_file", path=path)
    if code == errno.EIO:
        return GenloomError("store.io_error", path=path, hint=hint)
    if code is not None:
        return GenloomError("store.write_failed", path=path, reason=os.strerror(code).lower(), hint=hint)
    return None


def _is_about_path(error: OSError, path: Path) -> bool:
    """Return whether the error is about `path`, a folder above it or a draft next to it, or names no file."""
    if not isinstance(error.filename, str | bytes):
        return True
    error_path = Path(os.fsdecode(error.filename))
    return error_path in (path, *path.parents) or any(
        candidate.name.endswith(_DRAFT_SUFFIX) for candidate in (error_path, *error_path.parents)
    )


def expand_home(path: str | Path) -> Path:
    """Return the path with the home folder for ~ and ~user; GenloomError if this machine does not know that user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise GenloomError("store.unknown_home", path=path) from None


def is_folder_path(path: str | Path) -> bool:
    """Return whether a path names a folder: it ends in a slash, which a Path forgets, or a folder is there."""
    return str(path).endswith("/") or expand_home(path).is_dir()


def require_writable(folder: Path) -> None:
    """Raise GenloomError, with the cure, if nothing can be written to a folder, or the one that it will be made in."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    with translate_errors(existing), tempfile.TemporaryFile(dir=existing) as probe_file:
        probe_file.write(b"\0")
        probe_file.flush()
        os.fsync(probe_file.fileno())


def write_atomic(path: Path, data: bytes | str, mode: int = 0o666) -> None:
    """Write `data` (text as UTF-8) to `path` atomically: a reader sees the old or the new content, never a part.

    Create missing parent folders. The umask limits `mode`; 0o600 is for secrets. Raise ValueError, naming the cure, if
    the path cannot be written, or if another machine has written it to the workspace's storage since it was read here.
    """
    content = data.encode() if isinstance(data, str) else data
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _make_draft_path(path.parent)
        # Exclusive, so that another writer's draft is never overwritten.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with _rename_at_end(draft, path), open(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def move_file(source: Path, path: Path) -> None:
    """Move a whole file on the same disk to a path atomically, as `write_atomic` writes one."""
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sync_to_disk(source)
        with mirror.publish_file(path, source):
            os.replace(source, path)
        sync_to_disk(path.parent)


@contextmanager
def _rename_at_end(draft: Path, path: Path) -> Generator[None]:
    """Let a draft that was written and synced take the place of `path`; remove it if the block fails."""
    try:
        yield
        with mirror.publish_file(path, draft):
            os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_to_disk(path.parent)


@contextmanager
def open_replacement(path: Path) -> Generator[Path]:
    """Yield a draft next to `path` for a long file; it replaces `path` if the block succeeds.

    Raise ValueError, naming the cure, if the path cannot be written.
    """
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _make_draft_path(path.parent)
        draft.touch()
        mode = draft.stat().st_mode & 0o666
        with _rename_at_end(draft, path):
            yield draft
            _share_file(draft, mode)
            sync_to_disk(draft)


@contextmanager
def temp_folder(parent: Path) -> Generator[Path]:
    """Yield a new folder in `parent` to fill and then to `commit_folder`; remove what is left of it at the end.

    A killed process leaves the folder behind, unlocked; `remove_stale_drafts` finds and removes it.
    """
    with _ensure_parent(parent):
        with translate_errors(parent):
            draft = _make_draft_path(parent)
            draft.mkdir()
        lock = os.open(draft, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield draft
            except Exception as error:
                # The block also reads the user's files: only errors about our own folder are explained.
                system_error = _find_system_error(error)
                if system_error is None:
                    raise
                is_inside = str(system_error.filename or "").startswith(str(draft))
                is_about_writing = system_error.errno in (*_FULL_ERRNOS, errno.EFBIG, errno.EROFS)
                explained = _explain_error(system_error, parent)
                if explained is None or not (is_inside or is_about_writing):
                    raise
                raise explained from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            os.close(lock)


@contextmanager
def _ensure_parent(parent: Path) -> Generator[None]:
    """Create the folder if it is missing; remove it at the end if it was created here and is empty."""
    with translate_errors(parent):
        is_missing = not parent.exists()
        parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if is_missing:
            with suppress(OSError):  # it is not empty: it holds the committed draft, or another one
                parent.rmdir()


def commit_folder(draft: Path, final: Path, is_numbered: bool = False) -> bool:
    """Sync the folder `draft` to disk and rename it to `final`; if that exists, keep `draft` and return False.

    In a workspace on a storage, another machine may have `final`, or be writing it if it `is_numbered`.
    """
    with translate_errors(final):
        mode = draft.stat().st_mode & 0o666
        for folder, _, names in os.walk(draft, topdown=False):
            for name in names:
                _share_file(Path(folder, name), mode)
                sync_to_disk(Path(folder, name))
            sync_to_disk(Path(folder))
        try:
            with mirror.publish_folder(draft, final, is_numbered) as is_free:
                if not is_free:
                    return False
                os.rename(draft, final)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        sync_to_disk(final.parent)
    return True


@contextmanager
def atomic_folder(final: Path) -> Generator[Path]:
    """Yield a folder next to `final` that becomes `final` if the block succeeds and is removed if it fails.

    Raise ValueError if `final` exists or cannot be written.
    """
    with temp_folder(final.parent) as draft:
        yield draft
        if not commit_folder(draft, final):
            raise GenloomError("store.exists", path=final)


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


def is_process_alive(pid: int) -> bool:
    """Return whether a process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def list_drafts(parent: Path) -> list[Path]:
    """List the unfinished files and folders in `parent`."""
    return sorted(parent.glob(f".*{_DRAFT_SUFFIX}")) if parent.is_dir() else []


@contextmanager
def lock_folder(folder: Path, busy_error: ValueError | None = None) -> Generator[None]:
    """Lock `folder`, created if missing, against every other process that calls this.

    Wait while another process holds the lock, or raise `busy_error` at once, if given.
    """
    with translate_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy_error else 0))
        except BlockingIOError:
            if busy_error is None:
                raise
            raise busy_error from None
        yield
    finally:
        os.close(lock)


def sync_to_disk(path: Path) -> None:
    """Wait until the file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _share_file(path: Path, mode: int) -> None:
    """Give a file the mode that follows from the umask, if a library has written it for its owner only."""
    if path.stat().st_mode & 0o777 == 0o600:
        path.chmod(mode)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits; OSError for a device, which may never end."""
    state = hashlib.sha256()
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def read_beginning(path: Path, limit: int) -> bytes:
    """Return at most `limit` bytes of a file of somebody else, which may be a link to a device that never ends."""
    with path.open("rb") as file:
        return file.read(min(limit, path.stat().st_size))


def reserve_space(path: Path, size: int) -> None:
    """Create a file of `size` zeros with allocated disk space; OSError if the disk has too little.

    A full disk kills a process that writes to a sparse file through a memory map, without an error.
    """
    with path.open("xb", buffering=0) as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # the file system cannot allocate: write zeros
                    raise
        zeros = bytes(min(size, _CHUNK))
        while (remaining := size - file.tell()) > 0:
            file.write(zeros[:remaining])


def get_free_bytes(path: Path) -> int:
    """Return the free bytes on the disk of `path`, which need not exist yet."""
    ancestor = path.absolute()
    while not ancestor.exists():
        ancestor = ancestor.parent
    return shutil.disk_usage(ancestor).free


def _make_draft_path(parent: Path) -> Path:
    return parent / f".{secrets.token_hex(6)}{_DRAFT_SUFFIX}"
