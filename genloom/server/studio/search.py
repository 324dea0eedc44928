"""`GET /api/search`: outputs, conversations, models, data sets and jobs by the words in them."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from genloom.server.access import CurrentUser, User, require_scope
from genloom.server.index import OutputFilter
from genloom.server.jobs.jobs import Jobs
from genloom.server.studio.output_rows import build_outputs
from genloom.server.studio.services import CurrentJobs
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.system import Hit

router = APIRouter()
MAX_HITS = 20  # of each kind


@router.get("/api/search", response_model=Page[Hit])
@require_scope("read")
async def search_everything(
    user: CurrentUser, jobs: CurrentJobs, q: Annotated[str, Query(min_length=1, max_length=1000)]
) -> Any:
    """Find everything with these words, the newest of each kind first."""
    others, rows = await asyncio.to_thread(lambda: (find_others(jobs, user, q), find_outputs(jobs, user, q)))
    outputs = [
        {
            "kind": "output",
            "id": output["id"],
            "title": output["prompt"] or output["id"],
            "excerpt": output["text"] or "",
            "at": output["created"],
            "medium": output["medium"],
            "thumbnail": output["thumbnail"],
        }
        for output in await build_outputs(jobs, user, rows)
    ]
    return Page[Any](data=[*outputs, *others])


def find_outputs(jobs: Jobs, user: User, q: str) -> list[Any]:
    jobs.index.sync(waits=False)
    return jobs.index.find(OutputFilter(owner="" if user.is_local else user.id, q=q), limit=MAX_HITS)


def find_others(jobs: Jobs, user: User, q: str) -> list[dict[str, Any]]:
    words = q.casefold().split()

    def matches(text: str) -> bool:
        return all(word in text.casefold() for word in words)

    conversations = [
        {"kind": "conversation", "id": c["id"], "title": c["title"], "excerpt": c["excerpt"], "at": c["changed"]}
        for c in jobs.conversations.find(user, q=q, limit=MAX_HITS)
    ]
    workspace = jobs.workspace
    models = [
        {"kind": "model", "id": model.ref, "title": model.ref, "at": model.folder.created}
        for model in (*workspace.models, *workspace.built_in_models)
        if matches(model.ref)
    ]
    datasets = [
        {"kind": "dataset", "id": each.name, "title": each.name, "at": each.stored.created, "medium": each.medium}
        for each in workspace.datasets
        if matches(each.name)
    ]
    found_jobs = [
        {"kind": "job", "id": job.id, "title": job.title, "at": job.created}
        for job in jobs.store.find(owner=None if user.is_local else user.id, limit=500)
        if matches(job.title)
    ]
    return [*conversations, *models[:MAX_HITS], *datasets[:MAX_HITS], *found_jobs[:MAX_HITS]]
