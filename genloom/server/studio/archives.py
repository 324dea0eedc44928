"""`GET /api/backup` and `/api/teach/…/ratings`: everything that cannot be made again, and ratings as a data set.

Both hold what belongs to all people of the workspace, so that only the person at the machine gets them.
"""

import asyncio
import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from genloom.server.access import CurrentUser, User, require_scope
from genloom.server.errors import APIError
from genloom.server.files import build_file_response
from genloom.server.streams import ClosedStream, iter_in_threads
from genloom.server.studio.services import CurrentJobs
from genloom.store.clock import get_now

router = APIRouter()
# What is made again, what comes and goes, and secrets: keys of programs, sessions, and the keys that mark and sign.
_LEFT_OUT = frozenset(("cache", "uploads", "exports", "bin", "server", "keys"))
_DERIVED = frozenset(("index.sqlite", "events.sqlite"))
_PIECE_BYTES = 1 << 20


@router.get("/api/backup")
@require_scope("admin", is_stream=True)
def download_backup(user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Send the workspace as a ZIP archive, which is written while it is sent; unpacked, it is a workspace again."""
    check_local(user)
    name = f"{jobs.workspace.folder.name}-{get_now().date()}.zip"
    headers = {"content-disposition": f'attachment; filename="{name.encode("ascii", "replace").decode()}"'}
    return ClosedStream(iter_in_threads(iter_archive(jobs.workspace.folder)), "application/zip", headers)


@router.get("/api/teach/{model}/ratings")
@require_scope("train")
async def download_ratings(
    model: str, user: CurrentUser, jobs: CurrentJobs, format: Annotated[Literal["dpo", "kto"], Query()] = "dpo"
) -> Response:
    """Send the ratings of a model as a data set that other trainers read: pairs (dpo) or single outputs (kto)."""
    check_local(user)
    name = jobs.workspace.model(model).name
    rows = await asyncio.to_thread(lambda: list(jobs.workspace.export_ratings(format, name)))
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return build_file_response(content.encode(), "application/jsonl", f"{name}-{format}.jsonl", is_download=True)


def check_local(user: User) -> None:
    if not user.is_local:
        raise APIError("studio.local_only", status=403)


class _Pipe(io.RawIOBase):
    """A stream that an archive is written to; `take` returns what was written since the last call."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))  # ty: ignore[invalid-argument-type]
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def iter_archive(folder: Path) -> Generator[bytes]:
    """Yield the pieces of the archive of a workspace; a database is in it as it was at one moment."""
    pipe = _Pipe()
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(pipe, "w") as archive:
        for path in iter_saved_files(folder):
            name = path.relative_to(folder).as_posix()
            try:
                source = copy_database(path, Path(scratch)) if path.suffix == ".sqlite" else path
                info = zipfile.ZipInfo.from_file(source, name, strict_timestamps=False)
                file = source.open("rb")
            except FileNotFoundError:  # it was removed meanwhile
                continue
            with file, archive.open(info, "w", force_zip64=True) as target:
                while piece := file.read(_PIECE_BYTES):
                    target.write(piece)
                    yield pipe.take()
    yield pipe.take()


def iter_saved_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a workspace that belong into a backup: neither hidden ones nor links."""
    for path in sorted(folder.iterdir()):
        if path.name not in _LEFT_OUT | _DERIVED:
            yield from _iter_below(path)


def _iter_below(path: Path) -> Iterator[Path]:
    if path.name.startswith(".") or path.is_symlink() or path.suffix in (".sqlite-wal", ".sqlite-shm"):
        return
    if path.is_dir():
        for each in sorted(path.iterdir()):
            yield from _iter_below(each)
    else:
        yield path


def copy_database(path: Path, folder: Path) -> Path:
    """Copy a database to another folder, with what is not in its main file yet."""
    target = folder / "copy.sqlite"
    target.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    return target
