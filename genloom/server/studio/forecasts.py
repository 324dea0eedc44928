"""`POST /api/forecast`: what a training would cost and reach, and what a collection would read."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from genloom.server.access import CurrentUser, require_scope
from genloom.server.errors import APIError
from genloom.server.jobs.jobs import Jobs
from genloom.server.jobs.params import parse_params
from genloom.server.studio.services import CurrentJobs
from genloom.server.studio.shapes.forecasts import CollectForecast, Forecast, ForecastRequest
from genloom.server.studio.shapes.shape import Page

router = APIRouter()
MAX_POINTS = 20  # of a dial at once
DEFAULT_MINUTES = 5.0
_SECONDS = 300.0
_UNKNOWN = {"parameters": 0, "steps": 0, "units": 0, "unit": "", "seconds": 0.0, "memory_bytes": 0, "metric": ""}


@router.post("/api/forecast", response_model=Forecast | CollectForecast | Page[Forecast])
@require_scope("train")
async def create_forecast(body: ForecastRequest, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return a forecast; for a list of minutes one for each, so that a dial answers at once."""
    if body.kind == "collect":
        return await forecast_collection(body.params, user, jobs)
    params = dict(body.params)
    minutes = params.pop("minutes", None)
    checked = parse_params("train", params)
    data = await asyncio.to_thread(jobs.workspace.dataset, checked["data"])
    points = minutes if isinstance(minutes, list) else [minutes or 0.0]
    if not 0 < len(points) <= MAX_POINTS:
        raise APIError("studio.too_many_points", param="params.minutes", limit=MAX_POINTS)
    times = [parse_params("train", {"data": "x", "minutes": each})["minutes"] for each in points]
    results = [await forecast_training(jobs, {**checked, "digest": data.digest}, each) for each in times]
    return Page[Any](data=results) if isinstance(minutes, list) else results[0]


async def forecast_training(jobs: Jobs, params: Mapping[str, Any], minutes: float) -> dict[str, Any]:
    key = repr((sorted(params.items()), minutes))
    if key not in jobs.forecasts:
        found = await jobs.forecaster.ask("forecast", seconds=_SECONDS, params=params, minutes=minutes)
        jobs.forecasts[key] = {**_UNKNOWN, **found, "minutes": minutes or DEFAULT_MINUTES, "fits": not found["why_not"]}
    return jobs.forecasts[key]


async def forecast_collection(params: Mapping[str, Any], user: Any, jobs: Jobs) -> dict[str, Any]:
    upload = str(params.get("upload") or "")
    folder = jobs.uploads.get_folder(upload, user)
    found = await jobs.worker.ask("count_media", folder=str(folder))
    media = [{"medium": name, "files": count, "bytes": size} for name, (count, size) in found["media"].items()]
    media.sort(key=lambda each: each["files"], reverse=True)
    return {
        "medium": str(params.get("medium") or "") or (media[0]["medium"] if media else ""),
        "media": media,
        "files": sum(each["files"] for each in media),
        "bytes": sum(each["bytes"] for each in media),
        "left": [{"reason": suffix or "no suffix", "count": count} for suffix, count in found["left"].items()],
        "examples": jobs.uploads.get(upload, user)["names"][:20],
    }
