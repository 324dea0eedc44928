"""Files that browsers and programs send, until a job collects or imports them.

    uploads/<id>/upload.json   owner, time, and the files as they were named
    uploads/<id>/files/…       the files; their names are built from letters, digits and a few marks only

A file is written while it arrives, so that its size never fills the memory.
"""

import os
import shutil
import unicodedata
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from starlette.requests import Request

from genloom.api.workspace import Workspace
from genloom.server.access import User, build_unknown_id_error
from genloom.server.errors import APIError
from genloom.server.multipart import PartBegin, PartEnd, iter_parts
from genloom.store import files, manifest
from genloom.store.clock import get_now
from genloom.store.names import is_timed_id, make_timed_id

MAX_UPLOAD_BYTES = 64 << 30  # of all files of an upload
MAX_FILES = 200_000
MIN_FREE_BYTES = 1 << 30  # that stay free on the disk
_CHECK_BYTES = 64 << 20  # after which the disk is looked at again
_MAX_PART_BYTES, _MAX_PARTS = 120, 12  # of a name, and of folders in it
_MARKS = frozenset("-_. ()+,&@#'")


class Uploads:
    """The uploads of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._root = workspace.folder / "uploads"

    def create(self, user: User) -> str:
        """Create an empty upload, and return its id."""
        moment, offset = get_now(), 0
        with files.lock_folder(self._root):
            while (self._root / make_timed_id(moment, offset)).exists():
                offset += 1
            id = make_timed_id(moment, offset)
            (self._root / id / "files").mkdir(parents=True)
        created = moment.isoformat(timespec="microseconds")
        self._write(id, {"owner": user.id, "created": created, "names": [], "files": 0, "bytes": 0})
        return id

    def get(self, id: str, user: User) -> dict[str, Any]:
        """Return an upload's owner, time, names, and number of files and bytes; 404 for another's."""
        try:
            content = manifest.read_json(self._root / id / "upload.json") if is_timed_id(id) else {}
        except OSError:
            content = {}
        if not content or not user.owns(content["owner"]):
            raise build_unknown_id_error("upload", id)
        return {"id": id, **content}

    def get_folder(self, id: str, user: User) -> Path:
        """Return the folder with the files of an upload."""
        self.get(id, user)
        return self._root / id / "files"

    def list_entries(self, id: str) -> list[str]:
        """Return the paths of the files and folders at the top of an upload; whose it is was checked before.

        Links, which only another program can have put there, are none of it.
        """
        assert is_timed_id(id)
        folder = self._root / id / "files"
        if not folder.is_dir():  # an earlier job has taken it
            raise build_unknown_id_error("upload", id)
        return sorted(str(path) for path in folder.iterdir() if not path.is_symlink())

    def find_file(self, id: str) -> Path:
        """Return the first file of an upload; whose it is was checked before."""
        assert is_timed_id(id)
        found = next((path for path in sorted((self._root / id / "files").rglob("*")) if path.is_file()), None)
        if found is None:
            raise build_unknown_id_error("upload", id)
        return found

    def list_files(self, id: str) -> list[Path]:
        """Return all files of an upload; whose it is was checked before."""
        assert is_timed_id(id)
        paths = sorted((self._root / id / "files").rglob("*"))
        return [path for path in paths if path.is_file() and not path.is_symlink()]

    async def add_files(self, id: str, request: Request, user: User) -> int:
        """Write the files of a form as they arrive, and return how many there were."""
        count = 0
        with ExitStack() as stack:
            write: Callable[[bytes], None] | None = None
            async for event in iter_parts(request):
                match event:
                    case PartBegin(filename=str(filename)):
                        write = stack.enter_context(self.write_file(id, filename, user))
                        count += 1
                    case bytes() if write is not None:
                        write(event)
                    case PartEnd():
                        stack.pop_all().close()  # the file is complete
                        write = None
        return count

    @contextmanager
    def write_file(self, id: str, name: str, user: User) -> Generator[Callable[[bytes], None]]:
        """Yield a function that writes the next bytes of a new file; an error in the block removes it."""
        upload = self.get(id, user)
        if upload["files"] >= MAX_FILES:
            raise APIError("studio.too_many_files", status=413, limit=MAX_FILES)
        path, size = self._choose_path(id, name), 0
        with files.translate_errors(path):
            file = path.open("xb")

        def write(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if upload["bytes"] + size > MAX_UPLOAD_BYTES:
                raise APIError("studio.upload_too_large", status=413, limit=MAX_UPLOAD_BYTES)
            if size % _CHECK_BYTES < len(data) and files.get_free_bytes(path) < MIN_FREE_BYTES:
                raise APIError("studio.upload_no_space", status=507, free=MIN_FREE_BYTES)
            with files.translate_errors(path):
                file.write(data)

        try:
            with file:
                yield write
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        upload["names"] = [*upload["names"], name[:300]][:100]
        self._write(id, {**upload, "files": upload["files"] + 1, "bytes": upload["bytes"] + size})

    def remove(self, id: str, user: User) -> None:
        """Delete an upload; what was collected from it stays."""
        self.get(id, user)
        shutil.rmtree(self._root / id)

    def _choose_path(self, id: str, name: str) -> Path:
        """Return a new path for a file: its name with other characters replaced, and a number if it is taken."""
        parts = [clean_part(part) for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        folder = self._root / id / "files"
        for part in parts[:-1][:_MAX_PARTS]:
            folder /= part
            if folder.is_file():
                folder = folder.with_name(f"{part}-")
        folder.mkdir(parents=True, exist_ok=True)
        plain = Path(parts[-1] if parts else "file")
        path, number = folder / plain.name, 1
        while path.exists():
            number += 1
            path = folder / f"{plain.stem}-{number}{plain.suffix}"
        return path

    def _write(self, id: str, content: Mapping[str, Any]) -> None:
        manifest.write_json(self._root / id / "upload.json", {k: v for k, v in content.items() if k != "id"})


def clean_part(part: str) -> str:
    """Return a part of a name as that of a file: letters, digits and a few marks, neither hidden nor too long."""
    text = unicodedata.normalize("NFC", part.encode("utf-8", "replace").decode())
    text = "".join(c if c.isalnum() or c in _MARKS or unicodedata.category(c).startswith("M") else "_" for c in text)
    stem, dot, suffix = text.strip(". ").rpartition(".")
    suffix = dot + suffix.encode()[:20].decode(errors="ignore")
    stem = stem.encode()[: _MAX_PART_BYTES - len(suffix.encode())].decode(errors="ignore").strip(". ") or "file"
    return f"{stem}{suffix}" if dot else suffix.strip(". ") or "file"
