"""`/api/designs`: goals of parts, read and drawn before a job of kind design makes them, and its files."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from genloom.server.access import CurrentUser, require_scope
from genloom.server.design import find_file, remove_designs
from genloom.server.files import build_file_response
from genloom.server.studio.output_rows import guess_mime
from genloom.server.studio.services import CurrentJobs
from genloom.server.studio.shapes.designs import DesignExample, DesignGoals, GoalsQuestion
from genloom.server.studio.shapes.jobs import Job
from genloom.server.studio.shapes.shape import Page

router = APIRouter()


@router.get("/api/designs/examples", response_model=Page[DesignExample])
@require_scope("read")
async def list_examples(jobs: CurrentJobs) -> Any:
    """List the examples of goals."""
    return Page[Any](data=await jobs.worker.ask("list_design_examples"))


@router.post("/api/designs/goals", response_model=DesignGoals)
@require_scope("generate")
async def read_goals(body: GoalsQuestion, jobs: CurrentJobs) -> Any:
    """Return what is asked for, as a document that a job of kind design takes, and as a picture."""
    return await jobs.worker.ask("read_design_goals", **body.model_dump())


@router.get("/api/designs/{id}/files/{name}")
@require_scope("read")
def get_file(id: str, name: str, user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Send a file of a job of kind design: a design in a format, the sheet or the report."""
    path = find_file(jobs, id, name, user)
    return build_file_response(path, guess_mime(name), name, is_report=name == "report.html")


@router.delete("/api/designs/{id}", response_model=Job)
@require_scope("generate")
def remove(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Delete the files of a job of kind design; it can be made again from its goals."""
    remove_designs(jobs, id, user)
    return jobs.to_json(jobs.get(id, user))
