"""Storage of objects, as S3 offers it, through fsspec: whole objects are written, read, listed and removed.

Nothing is renamed, and nothing is locked: an object can be written only if there is none yet (S3's If-None-Match), or
only if it is still the one that was read (If-Match), so that of two writers one is told.
"""

import errno
import hashlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError

ABSENT = ""  # the token of an object that is not there
_CONFLICT_CODES = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


class ObjectConflict(Exception):
    """An object is not as the writer expected: another has written it."""


@dataclass(frozen=True)
class ObjectState:
    """The size of an object, and a token that changes with its content."""

    size: int
    token: str


@dataclass(frozen=True)
class ObjectStorage:
    """The objects below a URL; their keys are relative to it."""

    url: str
    _filesystem: Any
    _root: str

    def list_objects(self, prefix: str = "") -> dict[str, ObjectState]:
        """Return the states of all objects by key, of those below a prefix that ends in a slash."""
        with self._translate_errors():
            self._filesystem.invalidate_cache()
            found = self._filesystem.find(self._find_path(prefix).rstrip("/"), detail=True)
        begin = len(self._root) + 1
        return {
            path[begin:]: ObjectState(int(info["size"] or 0), _read_token(info))
            for path, info in found.items()
            if info["type"] == "file"
        }

    def read(self, key: str) -> bytes:
        """Return the content of an object; FileNotFoundError if there is none."""
        with self._translate_errors(is_missing_expected=True):
            return self._filesystem.cat_file(self._find_path(key))

    def download(self, key: str, path: Path) -> None:
        """Write the content of an object to a file; FileNotFoundError if there is none."""
        with self._translate_errors(is_missing_expected=True):
            self._filesystem.get_file(self._find_path(key), str(path))

    def write(self, key: str, content: bytes | Path, expected: str | None = None) -> str:
        """Write an object and return its token.

        With `expected`, only if it has this token or, where that is ABSENT, does not exist: ObjectConflict if not.
        """
        path = self._find_path(key)
        options: dict[str, Any] = {"mode": "create"} if expected == ABSENT else {}
        if expected is not None and expected != ABSENT:
            if isinstance(content, bytes) and self._has_etags:
                options["IfMatch"] = expected
            elif self.get_token(key) != expected:
                raise ObjectConflict(key)
        try:
            with self._translate_errors():
                if isinstance(content, bytes):
                    written = self._filesystem.pipe_file(path, content, **options)
                else:
                    written = self._filesystem.put_file(str(content), path, **options)
        except ObjectConflict:
            # A request that was repeated, since its answer was lost, meets what it wrote itself.
            if not self._is_same(key, content):
                raise
            written = None
        return _read_token(written) if isinstance(written, dict) else self.get_token(key)

    def get_token(self, key: str) -> str:
        """Return the token of an object; ABSENT if there is none."""
        try:
            with self._translate_errors(is_missing_expected=True):
                self._filesystem.invalidate_cache()
                return _read_token(self._filesystem.info(self._find_path(key)))
        except FileNotFoundError:
            return ABSENT

    def copy(self, source: str, target: str) -> str:
        """Copy an object within the storage and return the token of the copy."""
        with self._translate_errors():
            self._filesystem.cp_file(self._find_path(source), self._find_path(target))
        return self.get_token(target)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects, in this order; those that are not there are ignored."""
        for key in keys:
            try:
                with self._translate_errors(is_missing_expected=True):
                    self._filesystem.rm_file(self._find_path(key))
            except FileNotFoundError:
                continue

    @property
    def _has_etags(self) -> bool:
        protocols = self._filesystem.protocol
        return "s3" in ((protocols,) if isinstance(protocols, str) else protocols)

    def _find_path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _is_same(self, key: str, content: bytes | Path) -> bool:
        """Return whether an object has this content."""
        with self._translate_errors(), self._filesystem.open(self._find_path(key), "rb") as stored:
            found = hashlib.file_digest(stored, "sha256").digest()
        if isinstance(content, bytes):
            return found == hashlib.sha256(content).digest()
        with content.open("rb") as file:
            return found == hashlib.file_digest(file, "sha256").digest()

    @contextmanager
    def _translate_errors(self, is_missing_expected: bool = False) -> Generator[None]:
        """Turn the error of a storage into an ObjectConflict, or a GenloomError with the reason."""
        try:
            yield
        except FileExistsError as error:
            raise ObjectConflict from error
        except FileNotFoundError as error:
            if is_missing_expected:
                raise
            raise GenloomError("store.storage_missing", url=self.url) from error
        except Exception as error:  # each library has its own
            cause = error.__cause__ or error
            response = getattr(cause, "response", None)
            code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
            if code in _CONFLICT_CODES:
                raise ObjectConflict from error
            if not _is_of_storage(error):
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise GenloomError("store.storage_failed", url=self.url, reason=reason.rstrip(".")) from error


def open_storage(url: str) -> ObjectStorage:
    """Open the storage at a URL like s3://bucket/folder; raise GenloomError for a scheme that nothing here reads."""
    import fsspec

    scheme = url.partition("://")[0]
    try:
        is_local = scheme in ("file", "local")
        filesystem, root = fsspec.core.url_to_fs(url, **({"auto_mkdir": True} if is_local else {}))
    except ImportError as error:
        raise GenloomError("store.storage_package", url=url, scheme=scheme) from error
    except ValueError as error:
        raise GenloomError("store.storage_scheme", url=url, scheme=scheme) from error
    return ObjectStorage(url.rstrip("/"), filesystem, root.rstrip("/"))


def _read_token(info: dict[str, Any]) -> str:
    """Return what changes with the content of an object: its ETag, or else its size and time."""
    etag = info.get("ETag")
    times = [info[key] for key in ("mtime", "LastModified", "modified", "created") if info.get(key)]
    changed = times[0] if times else 0
    return str(etag or f"{info.get('size')} {changed.timestamp() if isinstance(changed, datetime) else changed}")


def _is_of_storage(error: Exception) -> bool:
    """Return whether an error is that of a storage or of the network, and no bug."""
    packages = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    is_local = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename
    return bool(packages & {"botocore", "aiobotocore", "aiohttp"}) or (isinstance(error, OSError) and not is_local)
