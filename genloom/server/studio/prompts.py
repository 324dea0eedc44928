"""`/api/prompts`: prompts of the library; a job of kind generate with a template writes from one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from genloom.server.access import CurrentUser, require_scope
from genloom.server.prompts import change_prompt, describe_prompt, describe_versions, get_prompt
from genloom.server.studio.services import CurrentJobs, CurrentWorkspace
from genloom.server.studio.shapes.prompts import Prompt, PromptChange, PromptDetail
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.system import BinItem

router = APIRouter()
Version = Annotated[int | None, Query(ge=0, lt=2**31)]


@router.get("/api/prompts", response_model=Page[Prompt])
@require_scope("read")
def list_prompts(workspace: CurrentWorkspace) -> Any:
    """List the newest version of every prompt, by name."""
    library = workspace.prompts.library
    rows = [describe_prompt(each, len(library.list_versions(each.name))) for each in library.list_prompts()]
    return Page[Any](data=rows)


@router.get("/api/prompts/{name}", response_model=PromptDetail)
@require_scope("read")
def show_prompt(name: str, workspace: CurrentWorkspace, version: Version = None) -> Any:
    """Return a prompt with its texts and versions."""
    found = get_prompt(workspace, name if version is None else f"{name}/{version}")
    history = describe_versions(workspace, found.name)
    texts = {"system": found.system, "prompt": found.prompt, "history": history}
    return describe_prompt(found, len(history)) | texts


@router.put("/api/prompts/{name}", response_model=PromptDetail)
@require_scope("train")
def save_prompt(name: str, body: PromptChange, workspace: CurrentWorkspace, jobs: CurrentJobs) -> Any:
    """Save the next version of a prompt; earlier ones stay. An unknown name is a new prompt."""
    changes = {key: getattr(body, key) for key in ("prompt", "system", "description")}
    saved = change_prompt(workspace, name, changes, body.note)
    jobs.events.publish("prompt.changed", {"name": saved.name})
    return show_prompt(saved.name, workspace)


@router.delete("/api/prompts/{name}", response_model=BinItem)
@require_scope("train")
def remove_prompt(name: str, user: CurrentUser, workspace: CurrentWorkspace, jobs: CurrentJobs) -> Any:
    """Move the versions of a prompt to the bin; one that comes with Genloom has its own text again."""
    get_prompt(workspace, name)
    entry = workspace.prompts.remove(name)
    jobs.events.publish("prompt.changed", {"name": name})
    return entry.to_record()
