"""The files of the studio, as the stand-in sends them."""

from functools import cache
from mimetypes import guess_type
from pathlib import Path

from starlette.responses import Response

from genloom.studio import FOLDER


def read_file(name: str) -> Response | None:
    """Return a file of the studio; a page asks for a hundred, so that each is read once."""
    path = (FOLDER / name).resolve()
    if not path.is_relative_to(FOLDER) or not path.is_file():
        return None
    return load_file(path, path.stat().st_mtime_ns)


@cache
def load_file(path: Path, _changed: int) -> Response:
    return Response(path.read_bytes(), media_type=guess_type(path.name)[0] or "application/octet-stream")
