"""`/api/conversations`: trees of questions and answers, searched, arranged, imported and exported."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from genloom.server.access import CurrentUser, User, build_unknown_id_error, require_scope
from genloom.server.chat_files import read_export, write_json, write_markdown
from genloom.server.errors import APIError
from genloom.server.files import build_file_response
from genloom.server.jobs.jobs import Jobs
from genloom.server.knowledge import check_knowledge
from genloom.server.studio.services import CurrentJobs, Cursor, Limit, Name, Words, build_page
from genloom.server.studio.shapes.conversations import (
    Conversation,
    ConversationChange,
    ConversationDetail,
    ConversationNames,
    Imported,
    NewConversation,
    NewTurn,
    SentQuestion,
)
from genloom.server.studio.shapes.shape import Page
from genloom.server.turns import Turn as StoredTurn

router = APIRouter()
MAX_IMPORT_BYTES = 1 << 30
MAX_EXPORTED = 100_000


@router.get("/api/conversations", response_model=Page[Conversation])
@require_scope("read")
def list_conversations(
    user: CurrentUser,
    jobs: CurrentJobs,
    q: Words = "",
    folder: Name = "",
    tag: Name = "",
    starred: bool = False,
    deleted: bool = False,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Any:
    """List conversations, last changed first; `q` finds words in titles and in all turns."""
    found = jobs.conversations.find(
        user,
        q=q,
        folder=folder,
        tag=tag,
        is_starred=starred,
        is_removed=deleted,
        before=cursor,
        limit=limit + 1,
    )
    return build_page(found, limit, lambda row: row, lambda row: f"{row['changed']} {row['id']}")


@router.get("/api/conversations/names", response_model=ConversationNames)
@require_scope("read")
def list_names(user: CurrentUser, jobs: CurrentJobs) -> Any:
    """List the folders and tags of conversations."""
    folders, tags = jobs.conversations.list_names(user)
    return {"folders": folders, "tags": tags}


@router.post("/api/conversations", status_code=201, response_model=ConversationDetail)
@require_scope("generate")
def create_conversation(body: NewConversation, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Begin a conversation with a model."""
    model = jobs.workspace.model(body.model).name if body.model else ""
    check_knowledge(jobs.workspace, body.knowledge, user)
    values = body.model_dump(include={"title", "system", "folder", "knowledge", "params"})
    id = jobs.conversations.create(user, model=model, **values)
    publish_change(jobs, user, id)
    return build_detail(jobs, user, id)


@router.post("/api/conversations/import", status_code=201, response_model=Imported)
@require_scope("generate", body="multipart", max_bytes=MAX_IMPORT_BYTES)
async def import_conversations(request: Request, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Import an export of ChatGPT, Open WebUI or this studio, with all branches."""
    upload = jobs.uploads.create(user)
    if not await jobs.uploads.add_files(upload, request, user):
        jobs.uploads.remove(upload, user)
        raise APIError("studio.no_files", param="file")
    path = jobs.uploads.find_file(upload)
    try:
        trees, skipped = await asyncio.to_thread(read_export, path)
        ids = await asyncio.to_thread(
            lambda: [jobs.conversations.add_tree(user, t.title, t.turns, t.current, system=t.system) for t in trees]
        )
    finally:
        jobs.uploads.remove(upload, user)
    for id in ids:
        publish_change(jobs, user, id)
    return {"conversations": ids, "skipped": [{"reason": k, "count": v} for k, v in skipped.items()]}


@router.get("/api/conversations/export")
@require_scope("read")
def export_all(user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Send all conversations as JSON with all branches, which can be imported again."""
    found = jobs.conversations.find(user, limit=MAX_EXPORTED)
    content = f"[{', '.join(write_json(row, jobs.conversations.list_turns(row['id'])) for row in found)}]"
    return build_file_response(content.encode(), "application/json", "conversations.json", is_download=True)


@router.get("/api/conversations/{id}", response_model=ConversationDetail)
@require_scope("read")
def get_conversation(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return a conversation with all its branches."""
    jobs.conversations.pull()
    return build_detail(jobs, user, id)


@router.patch("/api/conversations/{id}", response_model=ConversationDetail)
@require_scope("generate")
def change_conversation(id: str, body: ConversationChange, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Set title, model, system prompt, folder, tags, star or the branch that is shown."""
    jobs.conversations.get(id, user)
    changes = body.model_dump(exclude_none=True)
    if changes.get("model"):
        changes["model"] = jobs.workspace.model(changes["model"]).name
    check_knowledge(jobs.workspace, changes.get("knowledge", ""), user)
    jobs.conversations.change(id, changes)
    publish_change(jobs, user, id)
    return build_detail(jobs, user, id)


@router.delete("/api/conversations/{id}", status_code=204)
@require_scope("generate")
def remove_conversation(id: str, user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Move a conversation to the bin."""
    if jobs.conversations.get(id, user)["removed"] is None:
        jobs.conversations.remove(id)
        publish_change(jobs, user, id)
    return Response(status_code=204)


@router.post("/api/conversations/{id}/restore", response_model=ConversationDetail)
@require_scope("generate")
def restore_conversation(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    if jobs.conversations.get(id, user)["removed"] is not None:
        jobs.conversations.restore(id)
        publish_change(jobs, user, id)
    return build_detail(jobs, user, id)


@router.post("/api/conversations/{id}/turns", status_code=202, response_model=SentQuestion)
@require_scope("generate")
def ask_question(id: str, body: NewTurn, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Ask a question after a turn, or let a question be answered again; the answer comes as events."""
    conversation = jobs.conversations.get(id, user)
    if conversation["removed"] is not None:
        raise build_unknown_id_error("conversation", id)
    model = jobs.workspace.model(body.model or conversation["model"] or "")
    for upload in body.attachments:
        jobs.uploads.get(upload, user)
    if body.content is None:
        if not body.parent:
            raise APIError("studio.no_question", param="content")
        question = jobs.conversations.get_turn(id, body.parent)
        if question.role != "user":
            raise APIError("studio.no_question", param="parent")
    else:
        if not body.content.strip():
            raise APIError("studio.no_question", param="content")
        question = jobs.conversations.add_turn(
            id, body.parent or "", "user", body.content.strip(), attachments=tuple(body.attachments)
        )
    params = {**conversation["params"], **body.params}
    seed = params.pop("seed", None)
    request = {"model": model.ref, "conversation": id, "question": question.id, "params": params, "seed": seed}
    job = jobs.add("chat", request, user)
    publish_change(jobs, user, id)
    return {"question": build_turn(question, {}), "job": jobs.to_json(job)}


@router.post("/api/conversations/{id}/turns/{turn}/prefer", response_model=ConversationDetail)
@require_scope("rate")
def prefer_answer(id: str, turn: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Prefer an answer to all other answers to its question, and show it; a model can learn from that."""
    jobs.conversations.get(id, user)
    chosen = jobs.conversations.get_turn(id, turn)
    siblings = [each for each in jobs.conversations.list_turns(id) if each.parent == chosen.parent and each.output]
    if not chosen.output:
        raise APIError("studio.no_question", param="turn")
    for other in siblings:
        if other.output != chosen.output:
            event = jobs.workspace.choose(chosen.output, other.output, "a", rater=jobs.get_rater(user))
            jobs.events.publish("rating.created", {"output": chosen.output, "event": event.id}, user.id)
    jobs.conversations.change(id, {"leaf": turn})
    publish_change(jobs, user, id)
    return build_detail(jobs, user, id)


@router.get("/api/conversations/{id}/export")
@require_scope("read")
def export_conversation(
    id: str, user: CurrentUser, jobs: CurrentJobs, format: Annotated[Literal["json", "markdown"], Query()] = "json"
) -> Response:
    """Send a conversation: as JSON with all branches, which can be imported again, or the branch shown as Markdown."""
    conversation = jobs.conversations.get(id, user)
    turns = jobs.conversations.list_turns(id)
    if format == "json":
        content, mime, suffix = write_json(conversation, turns), "application/json", ".json"
    else:
        branch = jobs.conversations.list_branch(id, conversation["leaf"])
        content, mime, suffix = write_markdown(conversation, branch), "text/markdown; charset=utf-8", ".md"
    return build_file_response(content.encode(), mime, f"{conversation['title'] or id}{suffix}", is_download=True)


def build_detail(jobs: Jobs, user: User, id: str) -> dict[str, Any]:
    conversation = jobs.conversations.get(id, user)
    turns = jobs.conversations.list_turns(id)
    jobs.index.sync(waits=False)
    ratings = jobs.index.get_ratings([turn.output for turn in turns if turn.output], jobs.get_rater(user))
    pending: dict[str, str] = {}
    for job in (*jobs.store.find(states=["running"], kinds=["chat"]), *jobs.store.list_queued()):
        if job.kind == "chat" and job.params["conversation"] == id:
            pending[str(job.params["question"])] = job.id
    tree = [build_turn(turn, ratings, pending.get(turn.id, "")) for turn in turns]
    return {**conversation, "model": conversation["model"] or None, "tree": tree}


def build_turn(turn: StoredTurn, ratings: Mapping[str, Any], job: str = "") -> dict[str, Any]:
    return {
        "id": turn.id,
        "parent": turn.parent or None,
        "role": turn.role,
        "content": turn.content,
        "created": turn.created,
        "model": turn.model or None,
        "output": turn.output or None,
        "rating": ratings.get(turn.output),
        "job": job or turn.job or None,
        "attachments": list(turn.attachments),
        "context": turn.context or None,
    }


def publish_change(jobs: Jobs, user: User, id: str) -> None:
    owner = jobs.conversations.get(id, user)["owner"]
    jobs.events.publish("conversation.changed", {"id": id}, owner)
