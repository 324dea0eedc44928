"""`/api/knowledge`: documents that questions of a chat are answered from; a job of kind knowledge reads them."""

from typing import Any

from fastapi import APIRouter

from genloom.server.access import CurrentUser, require_scope
from genloom.server.knowledge import check_knowledge, find_removed, list_knowledge
from genloom.server.studio.services import CurrentJobs
from genloom.server.studio.shapes.conversations import Knowledge
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.system import BinItem

router = APIRouter()


@router.get("/api/knowledge", response_model=Page[Knowledge])
@require_scope("read")
def list_all(user: CurrentUser, jobs: CurrentJobs) -> Any:
    """List the knowledge of a user."""
    return Page[Any](data=list_knowledge(jobs.workspace, user))


@router.delete("/api/knowledge/{name}", response_model=BinItem)
@require_scope("generate")
def remove_knowledge(name: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Move knowledge to the bin, with the documents that were sent for it."""
    check_knowledge(jobs.workspace, name, user)
    entry = jobs.workspace.remove("knowledge", name)
    jobs.events.publish("knowledge.changed", {"name": name}, user.id)
    return entry.to_record()


@router.post("/api/knowledge/{name}/restore", response_model=BinItem)
@require_scope("generate")
def restore_knowledge(name: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Move knowledge back from the bin."""
    entry = jobs.workspace.restore(find_removed(jobs.workspace, name, user).id)
    jobs.events.publish("knowledge.changed", {"name": name}, user.id)
    return entry.to_record()
