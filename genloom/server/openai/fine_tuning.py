"""/v1/fine_tuning/jobs: the official client trains models on conversations, and teaches them with pairs (DPO)."""

import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from genloom.errors import GenloomError
from genloom.server.access import User, require_scope
from genloom.server.errors import APIError
from genloom.server.jobs.store import Job
from genloom.server.openai.files import cut_page, read_file_record
from genloom.server.openai.fine_tuning_preparation import (
    continue_fine_tuning,
    get_folder,
    read_record,
    read_rows,
    write_record,
)
from genloom.server.openai.generating import build_model_error, resolve_model
from genloom.server.openai.models import build_list, to_timestamp
from genloom.server.openai.shapes import Name, Seed, Shape, to_seed
from genloom.store import manifest

router = APIRouter()

DEFAULT_MINUTES = 5.0

Auto = Literal["auto"]


class Hyperparameters(Shape):
    n_epochs: Auto | Annotated[int, Field(ge=1, le=1000)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1, le=4096)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = "auto"
    beta: Auto | Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = "auto"


class MethodSettings(Shape):
    hyperparameters: Hyperparameters | None = None


class Method(Shape):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: MethodSettings | None = None
    dpo: MethodSettings | None = None


class JobRequest(Shape):
    """`minutes` is ours: how long the training may take, if n_epochs does not say it."""

    model: Name
    training_file: Annotated[str, Field(max_length=100)]
    validation_file: Annotated[str, Field(max_length=100)] | None = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    seed: Seed | None = None
    suffix: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    integrations: Any = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    minutes: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] | None = None


@router.post("/v1/fine_tuning/jobs")
@require_scope("train")
async def create_job(request: Request, body: JobRequest) -> dict[str, Any]:
    """Check the file, and queue the training."""
    app, user = request.app, request.state.user
    method = body.method.type if body.method else "supervised"
    hyperparameters = find_hyperparameters(body, method)
    workspace = app.state.workspace
    try:
        model = workspace.model(resolve_model(request, body.model))
    except GenloomError:
        raise build_model_error(workspace, body.model) from None
    rows = await run_in_threadpool(read_rows, app, body.training_file, user, method)
    if body.validation_file:
        read_file_record(workspace, body.validation_file, user)
    id = f"ftjob-{secrets.token_hex(12)}"
    record: dict[str, Any] = {
        "id": id,
        "owner": user.id,
        "created_at": int(time.time()),
        "model": model.ref,
        "training_file": body.training_file,
        "validation_file": body.validation_file,
        "method": method,
        "hyperparameters": hyperparameters.model_dump(),
        "seed": (to_seed(body.seed) or 0) % 2**53,
        "suffix": body.suffix or model.name,
        "metadata": body.metadata,
        "minutes": body.minutes or DEFAULT_MINUTES,
        "num_rows": len(rows),
        "job": None,  # that trains
        "collect_job": None,
        "ended": None,  # cancelled or failed before it trained
        "error": None,
    }
    write_record(app, record)
    continue_fine_tuning(app, record, user)
    return describe_job(app, record, user)


def find_hyperparameters(body: JobRequest, method: str) -> Hyperparameters:
    """Return the hyperparameters; APIError for those that cannot be honoured."""
    if method == "reinforcement" or body.integrations:
        param = "method" if method == "reinforcement" else "integrations"
        raise APIError("server.unsupported_parameter", param=param, public_code="unsupported_parameter", name=param)
    settings = getattr(body.method, method, None) if body.method else None
    found = (settings and settings.hyperparameters) or body.hyperparameters or Hyperparameters()
    for name in ("learning_rate_multiplier", "beta"):
        if getattr(found, name) not in ("auto", 1):
            raise APIError("server.unsupported_parameter", param=name, public_code="unsupported_parameter", name=name)
    if method == "dpo" and found.n_epochs != "auto":
        raise APIError(
            "server.unsupported_parameter", param="n_epochs", public_code="unsupported_parameter", name="n_epochs"
        )
    return found


def find_training(app: FastAPI, record: Mapping[str, Any]) -> Job | None:
    return app.state.jobs.store.get(record["job"]) if record["job"] else None


def get_status(record: Mapping[str, Any], training: Job | None) -> str:
    if record["ended"]:
        return record["ended"]
    return "validating_files" if training is None else training.state


def find_result(app: FastAPI, training: Job | None) -> str | None:
    """Return the model that a training has made; of a round of learning, the challenger."""
    if training is None or training.state != "succeeded":
        return None
    result = training.result or {}
    return result.get("model") or result.get("challenger")


def describe_job(app: FastAPI, record: Mapping[str, Any], user: User) -> dict[str, Any]:
    """Return a fine-tuning as clients read it."""
    training = find_training(app, record)
    settings = {name: value for name, value in record["hyperparameters"].items() if name != "beta"}
    error = record["error"]
    if training is not None and training.error:
        error = {"code": training.error.get("code"), "message": training.error.get("message"), "param": None}
    is_ended = training is not None and training.finished is not None
    return {
        "id": record["id"],
        "object": "fine_tuning.job",
        "created_at": record["created_at"],
        "error": error,
        "fine_tuned_model": find_result(app, training),
        "finished_at": to_timestamp(str(training.finished)) if training is not None and is_ended else None,
        "hyperparameters": settings,
        "model": record["model"],
        "organization_id": "genloom",
        "result_files": [],
        "status": get_status(record, training),
        "trained_tokens": None,
        "training_file": record["training_file"],
        "validation_file": record["validation_file"],
        "integrations": [],
        "seed": record["seed"],
        "estimated_finish": None,
        "method": {"type": record["method"], record["method"]: {"hyperparameters": settings}},
        "metadata": record["metadata"],
        "job": record["job"],
    }


@router.get("/v1/fine_tuning/jobs")
@require_scope("read")
async def list_jobs(
    request: Request,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> dict[str, Any]:
    """List the fine-tunings of this user, newest first."""
    app, user = request.app, request.state.user
    records = [manifest.read_json(path) for path in get_folder(app).glob("ftjob-*.json")]
    records = sorted((each for each in records if user.owns(each["owner"])), key=lambda each: -each["created_at"])
    return cut_page([describe_job(app, each, user) for each in records], after, limit)


@router.get("/v1/fine_tuning/jobs/{id}")
@require_scope("read")
async def retrieve_job(request: Request, id: str) -> dict[str, Any]:
    """Return how far a fine-tuning is."""
    app, user = request.app, request.state.user
    record = read_record(app, id, user)
    continue_fine_tuning(app, record, user)
    return describe_job(app, record, user)


@router.post("/v1/fine_tuning/jobs/{id}/cancel")
@require_scope("train")
async def cancel_job(request: Request, id: str) -> dict[str, Any]:
    """Stop a fine-tuning."""
    app, user = request.app, request.state.user
    record = read_record(app, id, user)
    for job in (record["job"], None if record["job"] else record["collect_job"]):
        if job:
            await run_in_threadpool(app.state.jobs.cancel, job, user)
    if not record["job"]:
        record["ended"] = record["ended"] or "cancelled"
        write_record(app, record)
    return describe_job(app, record, user)


@router.get("/v1/fine_tuning/jobs/{id}/events")
@require_scope("read")
async def list_job_events(
    request: Request,
    id: str,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> dict[str, Any]:
    """List what a training has reported, newest first."""
    app, user = request.app, request.state.user
    record = read_record(app, id, user)
    continue_fine_tuning(app, record, user)
    log = app.state.jobs.store.read_log(record["job"], 0, 4000) if record["job"] else []
    started = {"message": "The file has been checked.", "data": {}}
    rows = [(0, "note", started), *log]
    events = [
        {
            "id": f"ftevent-{record['id'][6:]}-{number}",
            "object": "fine_tuning.job.event",
            "created_at": record["created_at"],
            "level": "info",
            "message": describe_log_row(kind, data),
            "type": "metrics" if kind == "point" else "message",
            "data": data if isinstance(data, dict) else {"value": data},
        }
        for number, kind, data in rows
    ]
    return cut_page(events[::-1], after, limit)


def describe_log_row(kind: str, data: Any) -> str:
    if isinstance(data, Mapping) and isinstance(data.get("message"), str):
        return data["message"]
    if isinstance(data, Mapping):
        return ", ".join(f"{name} {value}" for name, value in data.items() if isinstance(value, int | float | str))[
            :500
        ]
    return str(data)[:500]


@router.get("/v1/fine_tuning/jobs/{id}/checkpoints")
@require_scope("read")
async def list_checkpoints(request: Request, id: str) -> dict[str, Any]:
    """List the checkpoints that can be used as models: none but the result."""
    read_record(request.app, id, request.state.user)
    return build_list([])
