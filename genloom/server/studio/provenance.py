"""`/api/outputs/…/provenance` and cards: where outputs come from, and what models and data sets are made of."""

import asyncio
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response

from genloom.server.access import CurrentUser, User, build_unknown_id_error, require_scope
from genloom.server.files import build_file_response
from genloom.server.jobs.jobs import Jobs
from genloom.server.studio.output_rows import find_row
from genloom.server.studio.services import CurrentJobs
from genloom.server.studio.shapes.trust import Provenance

router = APIRouter()
_SECONDS = 120.0  # to compare the digests of large models and data sets
_TYPES = {"md": "text/markdown", "html": "text/html", "json": "application/json", "croissant": "application/ld+json"}
_SUFFIXES = {"md": "md", "html": "html", "json": "json", "croissant": "croissant.json"}


@router.get("/api/outputs/{id}/provenance", response_model=Provenance)
@require_scope("read")
async def get_provenance(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return the line of an output: prompt, model, the models before it, runs, data and documents with licences."""
    await check_output(jobs, user, id)
    return await jobs.slow_worker.ask("describe_provenance", seconds=_SECONDS, output=id, owner=get_viewer(user))


@router.get("/api/outputs/{id}/trace")
@require_scope("read")
async def get_trace(
    id: str, user: CurrentUser, jobs: CurrentJobs, format: Literal["html", "json"] = "html"
) -> Response:
    """Send the line of an output as a page that loads nothing, or as JSON."""
    await check_output(jobs, user, id)
    text = await jobs.slow_worker.ask(
        "render_trace", seconds=_SECONDS, output=id, owner=get_viewer(user), format=format
    )
    return build_file_response(text.encode(), _TYPES[format], f"{id}-trace.{format}", is_download=True)


@router.get("/api/models/{name}/{version}/card")
@require_scope("read")
async def get_model_card(
    name: str, version: int, jobs: CurrentJobs, format: Literal["md", "html", "json"] = "md", download: bool = False
) -> Response:
    """Send the card of a version, filled from its lineage."""
    model = await asyncio.to_thread(jobs.workspace.model, f"{name}/{version}")
    return await send_card(jobs, "model", model.ref, f"{model.name}-{model.version}", format, download)


@router.get("/api/datasets/{name}/card")
@require_scope("read")
async def get_dataset_card(
    name: str, jobs: CurrentJobs, format: Literal["md", "html", "json", "croissant"] = "md", download: bool = False
) -> Response:
    """Send the card of a data set; `croissant` is the format of MLCommons."""
    dataset = await asyncio.to_thread(jobs.workspace.dataset, name)
    return await send_card(jobs, "data", f"{dataset.name}@{dataset.digest}", dataset.name, format, download)


async def send_card(jobs: Jobs, kind: str, name: str, stem: str, format: str, is_download: bool) -> Response:
    text = await jobs.slow_worker.ask("render_card", seconds=_SECONDS, name=name, kind=kind, format=format)
    filename = f"{stem}-card.{_SUFFIXES[format]}"
    is_shown = format == "html" and not is_download
    return build_file_response(text.encode(), _TYPES[format], filename, is_download=is_download, is_report=is_shown)


async def check_output(jobs: Jobs, user: User, id: str) -> None:
    """Raise the 404 for an output that is not there, in the bin or another's."""
    row = await asyncio.to_thread(find_row, jobs, user, id)
    if row["removed"]:
        raise build_unknown_id_error("output", id)


def get_viewer(user: User) -> str:
    """Return who looks, as records name owners: "" is the person at the machine, who sees everything."""
    return "" if user.is_local else user.id
