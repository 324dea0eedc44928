"""`/api/outputs/…`: the files of outputs in any format with their signatures, and what pages show and play of them."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from genloom.server.access import CurrentUser, User, build_unknown_id_error, require_scope
from genloom.server.errors import APIError
from genloom.server.files import build_file_response
from genloom.server.jobs.jobs import Jobs
from genloom.server.signed_files import MANIFEST_TYPE, build_manifest, link_manifest, sign_path
from genloom.server.studio.output_rows import find_row, get_path, guess_mime, list_formats, read_output_record
from genloom.server.studio.services import CurrentJobs

router = APIRouter()


@router.get("/api/outputs/{id}/file")
@require_scope("read")
async def get_output_file(
    id: str,
    user: CurrentUser,
    jobs: CurrentJobs,
    format: Annotated[str, Query(pattern=r"^\.?[a-z0-9]{0,10}$")] = "",
    download: bool = False,
) -> Response:
    """Send the file of an output, in a format that its medium offers."""
    row = await asyncio.to_thread(find_row, jobs, user, id)
    suffix = f".{format.removeprefix('.')}" if format else ""
    path = get_path(jobs, row)
    if suffix not in ("", path.suffix):
        formats = list_formats(row)
        if suffix not in formats or row["removed"]:
            raise APIError("studio.no_such_format", param="format", format=suffix, known=", ".join(formats))
        path = Path(await jobs.worker.ask("save_file", output=id, suffix=suffix))
    else:
        own = Path(row["file"]).suffix
        path = await asyncio.to_thread(
            lambda: sign_path(jobs.workspace, read_output_record(jobs, row), get_path(jobs, row), own)
        )
    name = f"{id}{suffix or Path(row['file']).suffix}"
    response = build_file_response(path, guess_mime(name), name, is_download=download)
    return link_manifest(response, Path(name), f"/api/outputs/{id}/manifest?format={Path(name).suffix[1:]}")


@router.get("/api/outputs/{id}/manifest")
@require_scope("read")
async def get_manifest(
    id: str,
    user: CurrentUser,
    jobs: CurrentJobs,
    format: Annotated[str, Query(pattern=r"^\.?[a-z0-9]{0,10}$")] = "",
    view: Literal["file", "sound"] = "file",
) -> Response:
    """Send the signed manifest of a file whose format holds none, or of the sound of an output."""
    row = await asyncio.to_thread(find_row, jobs, user, id)
    suffix, path = f".{format.removeprefix('.')}" if format else "", get_path(jobs, row)
    if view == "sound":
        found = await jobs.worker.ask("render_sound", output=id)
        path = Path(found["path"]) if found else Path()
    elif suffix not in ("", Path(row["file"]).suffix):
        formats = list_formats(row)
        if suffix not in formats or row["removed"]:
            raise APIError("studio.no_such_format", param="format", format=suffix, known=", ".join(formats))
        path = Path(await jobs.worker.ask("save_file", output=id, suffix=suffix))
    data = None
    if path.is_file():
        data = await asyncio.to_thread(lambda: build_manifest(jobs.workspace, read_output_record(jobs, row), path))
    if data is None:
        raise build_unknown_id_error("manifest of output", id)
    return build_file_response(data, MANIFEST_TYPE, f"{id}{path.suffix}.c2pa", is_download=True)


@router.get("/api/outputs/{id}/shown")
@require_scope("read")
async def get_shown(id: str, user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Send what a page shows of an output: itself, or the picture of a tune."""
    return await send_display(jobs, user, id, "show")


@router.get("/api/outputs/{id}/thumbnail")
@require_scope("read")
async def get_thumbnail(id: str, user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Send a picture of an output with at most 320 pixels a side."""
    return await send_display(jobs, user, id, "make_thumbnail")


@router.get("/api/outputs/{id}/sound")
@require_scope("read")
async def get_sound(id: str, user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Send what a page plays beside an output."""
    return await send_display(jobs, user, id, "render_sound")


async def send_display(jobs: Jobs, user: User, id: str, question: str) -> Response:
    row = await asyncio.to_thread(find_row, jobs, user, id)
    found = await jobs.worker.ask(question, output=row["id"])
    if found is None:
        raise build_unknown_id_error("picture or sound of output", id)
    path = await asyncio.to_thread(
        lambda: sign_path(jobs.workspace, read_output_record(jobs, row), Path(found["path"]))
    )
    response = build_file_response(path, found["mime"], path.name)
    response.headers["cache-control"] = "private, max-age=86400, immutable"  # an output never changes
    if question == "render_sound":
        link_manifest(response, path, f"/api/outputs/{id}/manifest?view=sound")
    return response
