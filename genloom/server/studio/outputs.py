"""`/api/outputs`: the gallery, ratings, tags and the bin."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from genloom.server.access import CurrentUser, User, require_scope
from genloom.server.index import OutputFilter
from genloom.server.jobs.jobs import Jobs
from genloom.server.studio.output_rows import add_details, build_outputs, find_row
from genloom.server.studio.services import CurrentJobs, Cursor, Limit, Name, Words, build_page
from genloom.server.studio.shapes.outputs import (
    Facets,
    NewPreference,
    NewRating,
    Output,
    OutputChange,
    OutputDetail,
    OutputIds,
    Preference,
    Rating,
)
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.system import BinItem

router = APIRouter()


@router.get("/api/outputs", response_model=Page[Output])
@require_scope("read")
async def list_outputs(
    user: CurrentUser,
    jobs: CurrentJobs,
    q: Words = "",
    medium: Name = "",
    model: Name = "",
    rating: Annotated[str, Query(pattern="^(up|down|none|[1-5])?$")] = "",
    tag: Name = "",
    folder: Name = "",
    starred: bool = False,
    seed: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    after: Annotated[str, Query(max_length=40)] = "",
    before: Annotated[str, Query(max_length=40)] = "",
    conversation: Annotated[str, Query(pattern="^(none)?$")] = "",
    arena: bool = True,
    deleted: bool = False,
    cursor: Cursor = "",
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Limit = 50,
) -> Any:
    """List outputs, newest first, by everything that is known of them."""

    def find() -> tuple[list[dict[str, Any]], int | None]:
        jobs.index.sync(waits=False)
        if deleted:
            jobs.index.sync_bin()
        ids = jobs.marks.find_outputs(tag=tag, folder=folder, is_starred=starred) if tag or folder or starred else None
        wanted = OutputFilter(
            owner="" if user.is_local else user.id,
            q=q,
            medium=medium,
            model=model,
            rating=rating,
            rater=jobs.get_rater(user),
            seed=seed,
            since=after,
            until=before,
            is_removed=deleted,
            ids=ids,
            hidden_ids=jobs.conversations.list_outputs() if conversation == "none" else (),
            hides_arena=not arena,
        )
        rows = jobs.index.find(wanted, cursor, limit + 1, offset)
        return rows, None if cursor else jobs.index.count(wanted)

    rows, total = await asyncio.to_thread(find)
    outputs = await build_outputs(jobs, user, rows)
    page = build_page(list(zip(rows, outputs, strict=True)), limit, lambda pair: pair[1], lambda pair: pair[0]["id"])
    page.total = total
    return page


@router.get("/api/outputs/facets", response_model=Facets)
@require_scope("read")
def count_outputs(user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Count the outputs that a user sees by model, version, medium and tag, for filters."""
    jobs.index.sync(waits=False)
    owner = "" if user.is_local else user.id
    facets = jobs.index.count_facets(owner)
    tags = jobs.marks.count_tags(jobs.index.keep_shown(jobs.marks.list_tagged(), owner))
    return {"models": facets["name"], "versions": facets["model"], "media": facets["medium"], "tags": tags}


@router.post("/api/outputs/remove", response_model=Page[BinItem])
@require_scope("generate")
def remove_outputs(body: OutputIds, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Move several outputs to the bin."""
    for id in body.ids:
        find_row(jobs, user, id)
    return Page[Any](data=[remove(jobs, user, id) for id in dict.fromkeys(body.ids)])


@router.post("/api/outputs/restore", response_model=Page[Output])
@require_scope("generate")
async def restore_outputs(body: OutputIds, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Move several outputs back from the bin."""
    rows = await asyncio.to_thread(lambda: [move_back(jobs, user, id) for id in dict.fromkeys(body.ids)])
    return Page[Any](data=await build_outputs(jobs, user, rows))


@router.get("/api/outputs/{id}", response_model=OutputDetail)
@require_scope("read")
async def get_output(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return an output with everything that making it again, varying it or starting from it needs."""
    row = await asyncio.to_thread(find_row, jobs, user, id)
    (output,) = await build_outputs(jobs, user, [row])
    return await asyncio.to_thread(add_details, jobs, user, row, output)


@router.delete("/api/outputs/{id}", response_model=BinItem)
@require_scope("generate")
def remove_output(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Move an output to the bin; its ratings stay in the ledger."""
    find_row(jobs, user, id)
    return remove(jobs, user, id)


@router.post("/api/outputs/{id}/restore", response_model=Output)
@require_scope("generate")
async def restore_output(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    row = await asyncio.to_thread(move_back, jobs, user, id)
    return (await build_outputs(jobs, user, [row]))[0]


@router.patch("/api/outputs/{id}", response_model=Output)
@require_scope("rate")
async def change_output(id: str, body: OutputChange, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Set tags, star and folder."""

    def change() -> Mapping[str, Any]:
        row = find_row(jobs, user, id)
        jobs.marks.change(id, tags=body.tags, is_starred=body.is_starred, folder=body.folder)
        jobs.events.publish("output.changed", {"id": id}, row["owner"])
        return row

    return (await build_outputs(jobs, user, [await asyncio.to_thread(change)]))[0]


@router.post("/api/outputs/{id}/rating", response_model=Rating)
@require_scope("rate")
def rate_output(id: str, body: NewRating, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Rate an output; it replaces the rating that the same person gave before."""
    row = find_row(jobs, user, id)
    event = jobs.workspace.rate(id, up=body.up, stars=body.stars, note=body.note, rater=jobs.get_rater(user))
    jobs.index.sync()
    jobs.events.publish("rating.created", {"output": id, "event": event.id}, row["owner"])
    return jobs.index.get_ratings([id], jobs.get_rater(user))[id]


@router.post("/api/outputs/{id}/prefer", response_model=Preference)
@require_scope("rate")
def prefer_output(id: str, body: NewPreference, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Prefer an output to another one for the same prompt, also of another model; a model can learn from that."""
    row = find_row(jobs, user, id)
    find_row(jobs, user, body.over)
    event = jobs.workspace.choose(id, body.over, "a", rater=jobs.get_rater(user))
    jobs.events.publish("rating.created", {"output": id, "event": event.id}, row["owner"])
    return {"event": event.id, "at": event.at}


@router.delete("/api/outputs/{id}/rating", response_model=Output)
@require_scope("rate")
async def withdraw_rating(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Withdraw one's rating of an output, with those that it replaced."""

    def withdraw() -> Mapping[str, Any]:
        row = find_row(jobs, user, id)
        jobs.index.sync()
        for event in jobs.index.list_rating_events(id, jobs.get_rater(user)):
            jobs.workspace.withdraw(event)
            jobs.events.publish("rating.withdrawn", {"output": id, "event": event}, row["owner"])
        jobs.index.sync()
        return row

    return (await build_outputs(jobs, user, [await asyncio.to_thread(withdraw)]))[0]


# What these routes share


def remove(jobs: Jobs, user: User, id: str) -> dict[str, Any]:
    entry = jobs.workspace.remove("outputs", id, force=True)
    jobs.index.sync()
    jobs.events.publish("output.removed", {"id": id}, find_row(jobs, user, id)["owner"])
    return entry.to_record()


def move_back(jobs: Jobs, user: User, id: str) -> Mapping[str, Any]:
    jobs.index.sync_bin()
    row = find_row(jobs, user, id)
    if row["removed"] is None:
        return row
    jobs.workspace.restore(row["bin"])
    jobs.index.sync()
    jobs.events.publish("output.restored", {"id": id}, row["owner"])
    return find_row(jobs, user, id)
