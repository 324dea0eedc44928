"""`/api/jobs` and `/api/queue`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from genloom.server import exports
from genloom.server.access import CurrentUser, require_scope
from genloom.server.errors import APIError
from genloom.server.files import build_file_response
from genloom.server.studio.services import CurrentJobs, Cursor, Limit, Name, build_page
from genloom.server.studio.shapes.jobs import Job, JobLog, Move, NewJob, Queue, QueueChange
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.system import Freed

router = APIRouter()
_MAX_LOG_ROWS = 5000


@router.post("/api/jobs", status_code=202, response_model=Job)
@require_scope("read")  # and that of the kind of job
def add_job(body: NewJob, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Queue a job; its result comes later, as events and in the job."""
    if body.kind == "chat":
        raise APIError("studio.chat_job", param="kind")
    return jobs.to_json(jobs.add(body.kind, body.params, user))


@router.get("/api/jobs", response_model=Page[Job])
@require_scope("read")
def list_jobs(
    user: CurrentUser, jobs: CurrentJobs, state: Name = "", kind: Name = "", cursor: Cursor = "", limit: Limit = 50
) -> Any:
    """List jobs: the queue in its order, then what runs, then what has ended, newest first."""
    owner = None if user.is_local else user.id
    kinds, states = _split(kind), _split(state)
    first = []
    if not cursor:
        queued = [job for job in jobs.store.list_queued() if user.owns(job.owner)]
        running = jobs.store.find(owner=owner, states=["running"], limit=limit)
        first = [
            job
            for job in (*queued, *running)
            if (not kinds or job.kind in kinds) and (not states or job.state in states)
        ]
    ended_states = [
        each for each in states or ("succeeded", "failed", "cancelled") if each not in ("queued", "running")
    ]
    ended = (
        jobs.store.find(owner=owner, states=ended_states, kinds=kinds, before=cursor, limit=limit + 1)
        if ended_states
        else []
    )
    places = {job.id: place for place, job in enumerate(jobs.store.list_queued(), start=1)}
    page = build_page(ended, limit, lambda job: job.to_json(is_brief=True), lambda job: job.id)
    page.data[:0] = [job.to_json(places.get(job.id), is_brief=True) for job in first]
    return page


@router.get("/api/jobs/{id}", response_model=Job)
@require_scope("read")
def get_job(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    return jobs.to_json(jobs.get(id, user))


@router.get("/api/jobs/{id}/log", response_model=JobLog)
@require_scope("read")
def get_job_log(id: str, user: CurrentUser, jobs: CurrentJobs, after: Annotated[int, Query(ge=0, lt=2**53)] = 0) -> Any:
    """Return what a job reported after a number: losses, samples and notes."""
    rows = jobs.store.read_log(jobs.get(id, user).id, after, _MAX_LOG_ROWS)

    def select(kind: str) -> list[Any]:
        return [data for _, each, data in rows if each == kind]

    estimates = select("estimate")
    return {
        "points": select("point"),
        "samples": select("sample"),
        "notes": select("note"),
        "estimate": estimates[-1] if estimates else None,
        "next": rows[-1][0] if rows else after,
    }


@router.post("/api/jobs/{id}/cancel", response_model=Job)
@require_scope("read")  # and that of the kind of job
def cancel_job(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Cancel a job; one that runs first saves what it can, so it ends a moment later."""
    return jobs.to_json(jobs.cancel(id, user))


@router.post("/api/jobs/{id}/retry", response_model=Job)
@require_scope("read")  # and that of the kind of job
def retry_job(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Queue a job again that failed or was cancelled; a training continues at its last checkpoint."""
    return jobs.to_json(jobs.retry(id, user))


@router.post("/api/jobs/{id}/move", response_model=Job)
@require_scope("read")  # and that of the kind of job
def move_job(id: str, body: Move, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Move a queued job before another one, or to the end."""
    return jobs.to_json(jobs.move(id, body.before, user))


@router.get("/api/jobs/{id}/download")
@require_scope("read")
def download_export(id: str, user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Send the file of a job of kind export."""
    path = exports.get_file(jobs, id, user)
    return build_file_response(path, "application/octet-stream", path.name, is_download=True)


@router.delete("/api/jobs/{id}/download", response_model=Freed)
@require_scope("train")
def remove_export(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Delete the file of a job of kind export; it can be exported again."""
    return {"bytes": exports.remove_export(jobs, id, user)}


@router.get("/api/queue", response_model=Queue)
@require_scope("read")
def get_queue(jobs: CurrentJobs) -> Any:
    return jobs.describe_queue()


@router.post("/api/queue", response_model=Queue)
@require_scope("train")
def change_queue(body: QueueChange, jobs: CurrentJobs) -> Any:
    """Pause the queue, or let it run: what runs goes on, and answers to questions are never paused."""
    return jobs.set_paused(body.paused)


def _split(text: str) -> list[str]:
    return [part for part in text.split(",") if part]
