"""`/api/outputs`: the gallery, files in any format, ratings, tags, the bin, and where an output comes from."""

import asyncio
import json
import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from genloom.media.abilities import get_ability
from genloom.plugins import find_part
from genloom.server.access import CurrentUser, User, build_unknown_id_error, require_scope
from genloom.server.errors import APIError
from genloom.server.files import build_file_response
from genloom.server.index import MAX_EXCERPT_CHARS, OutputFilter
from genloom.server.jobs.jobs import Jobs
from genloom.server.signed_files import MANIFEST_TYPE, build_manifest, link_manifest, sign_path
from genloom.server.studio.services import CurrentJobs, Cursor, Limit, Name, Words, build_page
from genloom.server.studio.shapes.base import Page
from genloom.server.studio.shapes.outputs import (
    Facets,
    NewRating,
    Origin,
    Output,
    OutputChange,
    OutputDetail,
    OutputIds,
    Rating,
)
from genloom.server.studio.shapes.system import BinItem
from genloom.store.names import is_timed_id

router = APIRouter()
MAX_TEXT_CHARS = 1_000_000
_ORIGIN_SECONDS = 300.0
_MIME_TYPES = {
    ".mid": "audio/midi",
    ".musicxml": "application/vnd.recordare.musicxml+xml",
    ".abc": "text/vnd.abc",
    ".md": "text/markdown",
}


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
    """Count outputs by model, medium and tag, for filters."""
    jobs.index.sync(waits=False)
    facets = jobs.index.count_facets("" if user.is_local else user.id)
    return {"models": facets["name"], "media": facets["medium"], "tags": jobs.marks.count_tags()}


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
            lambda: sign_path(jobs.workspace, read_record(jobs, row), get_path(jobs, row), own)
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
        data = await asyncio.to_thread(lambda: build_manifest(jobs.workspace, read_record(jobs, row), path))
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


@router.get("/api/outputs/{id}/origin", response_model=Origin)
@require_scope("read")
async def get_origin(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return the training items that an output is nearest to, with their licences."""
    row = await asyncio.to_thread(find_row, jobs, user, id)
    if row["removed"]:
        raise build_unknown_id_error("output", id)
    cache = jobs.workspace.folder / "cache" / "origins" / f"{id}.json"
    if cache.is_file():
        return json.loads(await asyncio.to_thread(cache.read_bytes))
    found = await jobs.slow_worker.ask("find_origin", seconds=_ORIGIN_SECONDS, output=id)
    state = "unknown" if found["verdict"] is None else "ready"
    origin = {"state": state, "verdict": found["verdict"], "items": found["items"], "note": "; ".join(found["missing"])}
    if state == "ready":
        await asyncio.to_thread(_write_cache, cache, origin)
    return origin


# What these routes share


def find_row(jobs: Jobs, user: User, id: str) -> Mapping[str, Any]:
    """Return the row of an output, also of one in the bin; 404 for an unknown one or another's."""
    if not is_timed_id(id):
        raise build_unknown_id_error("output", id)
    row = jobs.index.get(id)
    if row is None or (row["removed"] is None) != jobs.workspace.store.has_output(id):
        jobs.index.sync()
        row = jobs.index.get(id)
    if row is None or not user.owns(row["owner"]):
        raise build_unknown_id_error("output", id)
    return row


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


async def build_outputs(jobs: Jobs, user: User, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of the index as pages show them, with the person's ratings and marks."""
    examples = {row["medium"]: row["id"] for row in reversed(rows)}
    displays = {medium: await describe_display(jobs, medium, id) for medium, id in examples.items()}
    ids = [row["id"] for row in rows]
    ratings, marks, conversations = await asyncio.to_thread(
        lambda: (
            jobs.index.get_ratings(ids, jobs.get_rater(user)),
            jobs.marks.get(ids),
            jobs.conversations.find_by_outputs(ids),
        )
    )
    return [
        build_output(row, ratings.get(row["id"]), marks.get(row["id"], {}), displays[row["medium"]])
        | {"conversation": conversations.get(row["id"])}
        for row in rows
    ]


def build_output(
    row: Mapping[str, Any], rating: Any, marks: Mapping[str, Any], display: Mapping[str, Any]
) -> dict[str, Any]:
    address = f"/api/outputs/{row['id']}"
    text = row["text"] if row["is_text"] else None
    return {
        "id": row["id"],
        "created": row["created"],
        "medium": row["medium"],
        "model": row["model"] or None,
        "prompt": row["prompt"],
        "given": json.loads(row["given"]),
        "seed": row["seed"],
        "text": None if text is None else text[:MAX_EXCERPT_CHARS],
        "is_cut": text is not None and len(text) > MAX_EXCERPT_CHARS,
        "mime": guess_mime(row["file"]),
        "bytes": row["bytes"],
        "url": f"{address}/file",
        "shown_mime": display["mime"],
        "shown": f"{address}/shown",
        "thumbnail": f"{address}/thumbnail" if display["mime"].startswith("image/") else None,
        "sound": f"{address}/sound" if display["has_sound"] else None,
        "rating": rating,
        "owner": row["owner"],
        "removed": row["removed"],
        "job": row["job"] or None,
        **marks,
    }


async def describe_display(jobs: Jobs, medium: str, example: str) -> dict[str, Any]:
    """Return what pages show of outputs of a medium: its MIME type, and whether it can be played."""
    displays: dict[str, dict[str, Any]] = jobs.displays
    if medium not in displays:
        found = await jobs.worker.ask("describe_display", output=example)
        displays[medium] = found
    return displays[medium]


def add_details(jobs: Jobs, user: User, row: Mapping[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    """Add what only one output shows: all of its text, its settings, formats, facts and neighbours."""
    record = read_record(jobs, row)
    request = record.get("request") or {}
    params = dict(request.get("params") or request.get("controls") or {})
    written = record.get("written")
    before, after = jobs.index.find_neighbours(row["id"], "" if user.is_local else user.id)
    shown = {**params, "stop": request.get("stop") or None, "precision": record.get("precision")}
    shown["adapters"] = list(record.get("adapters") or ()) or None
    job = jobs.store.get(row["job"]) if row["job"] else None
    again = {
        "model": record.get("model"),
        "prompt": record.get("prompt") or "",
        "given": record.get("given") or {},
        "stop": request.get("stop") or [],
        "adapters": list(record.get("adapters") or ()),
        "params": params,
    }
    if job is not None and job.kind == "generate":
        again = {**job.params, "prompt": record.get("prompt") or "", "prompts": []}
    return {
        **output,
        "text": written[:MAX_TEXT_CHARS] if isinstance(written, str) else None,
        "is_cut": isinstance(written, str) and len(written) > MAX_TEXT_CHARS,
        "settings": [{"name": name, "value": value} for name, value in shown.items() if value is not None],
        "again": again,
        "formats": list_formats(row),
        "model_digest": record.get("model_digest"),
        "sha256": record["sha256"],
        "messages": record.get("conversation") or [],
        "previous": before,
        "next": after,
    }


def read_record(jobs: Jobs, row: Mapping[str, Any]) -> Mapping[str, Any]:
    if row["removed"]:
        from genloom.store import manifest

        return manifest.read_json(jobs.workspace.folder / "bin" / row["bin"] / "0")
    return jobs.workspace.output(row["id"]).record


def get_path(jobs: Jobs, row: Mapping[str, Any]) -> Path:
    """Return the path of the file of an output, also of one in the bin."""
    if not row["removed"]:
        return jobs.workspace.output(row["id"]).path
    entry = next((entry for entry in jobs.workspace.bin if entry.id == row["bin"]), None)
    if entry is None:
        raise build_unknown_id_error("output", row["id"])
    number = next(n for n, path in enumerate(entry.paths) if Path(path).name == row["file"])
    return jobs.workspace.folder / "bin" / entry.id / str(number)


def list_formats(row: Mapping[str, Any]) -> list[str]:
    """Return the suffixes of the formats that an output can be sent in, its own first."""
    own = Path(row["file"]).suffix
    others = get_ability(find_part("medium", row["medium"]), "save_suffixes") if row["medium"] else ()
    return list(dict.fromkeys((own, *others)))


async def send_display(jobs: Jobs, user: User, id: str, question: str) -> Response:
    row = await asyncio.to_thread(find_row, jobs, user, id)
    found = await jobs.worker.ask(question, output=row["id"])
    if found is None:
        raise build_unknown_id_error("picture or sound of output", id)
    path = await asyncio.to_thread(lambda: sign_path(jobs.workspace, read_record(jobs, row), Path(found["path"])))
    response = build_file_response(path, found["mime"], path.name)
    response.headers["cache-control"] = "private, max-age=86400, immutable"  # an output never changes
    if question == "render_sound":
        link_manifest(response, path, f"/api/outputs/{id}/manifest?view=sound")
    return response


def guess_mime(name: str) -> str:
    """Return the MIME type of a file; systems disagree on some."""
    if (suffix := Path(name).suffix) in _MIME_TYPES:
        return _MIME_TYPES[suffix]
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _write_cache(path: Path, content: Mapping[str, Any]) -> None:
    from genloom.store import manifest

    manifest.write_json(path, content)
