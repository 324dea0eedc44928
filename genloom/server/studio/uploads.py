"""`/api/uploads`: files from browsers, written to the disk while they arrive."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from genloom.server.access import CurrentUser, User, require_scope
from genloom.server.errors import APIError
from genloom.server.jobs.jobs import Jobs
from genloom.server.studio.services import CurrentJobs
from genloom.server.studio.shapes.datasets import Upload
from genloom.server.uploads import MAX_UPLOAD_BYTES

router = APIRouter()


@router.post("/api/uploads", status_code=201, response_model=Upload)
@require_scope("generate", body="multipart", max_bytes=MAX_UPLOAD_BYTES)
async def create_upload(request: Request, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Take files in the field `files`, each with its relative path as its name."""
    return await add_files(request, user, jobs, jobs.uploads.create(user))


@router.post("/api/uploads/{id}", response_model=Upload)
@require_scope("generate", body="multipart", max_bytes=MAX_UPLOAD_BYTES)
async def extend_upload(id: str, request: Request, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Add files to an upload."""
    jobs.uploads.get(id, user)
    return await add_files(request, user, jobs, id)


@router.get("/api/uploads/{id}", response_model=Upload)
@require_scope("read")
def get_upload(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    return jobs.uploads.get(id, user)


@router.delete("/api/uploads/{id}", status_code=204)
@require_scope("generate")
def remove_upload(id: str, user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Delete an upload; what was collected from it stays."""
    jobs.uploads.remove(id, user)
    return Response(status_code=204)


async def add_files(request: Request, user: User, jobs: Jobs, id: str) -> dict[str, Any]:
    if not await jobs.uploads.add_files(id, request, user):
        raise APIError("studio.no_files", param="files")
    return jobs.uploads.get(id, user)
