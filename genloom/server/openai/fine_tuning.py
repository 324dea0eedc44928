"""/v1/fine_tuning/jobs: the official client trains models on conversations, and teaches them with pairs (DPO)."""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from genloom.errors import GenloomError
from genloom.server.access import User, build_unknown_id_error, require_scope
from genloom.server.errors import APIError, hide_paths
from genloom.server.jobs.store import Job
from genloom.server.openai.files import cut_page, find_content, read_file_record
from genloom.server.openai.generating import build_model_error, resolve_model
from genloom.server.openai.messages import ChatMessage, read_messages
from genloom.server.openai.models import build_list, to_timestamp
from genloom.server.openai.shapes import Name, Seed, Shape, to_seed
from genloom.store import manifest

router = APIRouter()

MAX_ROWS = 100_000
DEFAULT_MINUTES = 5.0
ROWS_AT_ONCE = 64  # stored by one call of the engine

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


class Sample(Shape):
    messages: Annotated[list[ChatMessage], Field(min_length=1)]


class Pair(Shape):
    """A question with an answer that is preferred and one that is not."""

    input: Sample
    preferred_output: Annotated[list[ChatMessage], Field(min_length=1, max_length=1)]
    non_preferred_output: Annotated[list[ChatMessage], Field(min_length=1, max_length=1)]


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


def read_rows(app: FastAPI, file: str, user: User, method: str) -> list[Any]:
    """Return the rows of a file of this user; APIError names the first line at fault."""
    try:
        path = find_content(app.state.workspace, file, user)
    except APIError:
        raise APIError("server.unknown_training_file", param="training_file", id=file[:64]) from None
    shape, rows = (Pair if method == "dpo" else Sample), []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                rows.append(shape.model_validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, first["loc"]))
                details: dict[str, Any] = {"line": number, "place": place or "the line", "reason": first["msg"]}
                raise APIError("server.bad_training_row", param="training_file", **details) from None
            if len(rows) > MAX_ROWS:
                raise APIError("server.too_many_rows", param="training_file", limit=MAX_ROWS)
    if not rows:
        raise APIError("server.no_rows", param="training_file")
    return rows


def get_folder(app: FastAPI) -> Path:
    return app.state.workspace.folder / "server" / "fine-tuning"


def write_record(app: FastAPI, record: Mapping[str, Any]) -> None:
    get_folder(app).mkdir(parents=True, exist_ok=True)
    manifest.write_json(get_folder(app) / f"{record['id']}.json", dict(record))


def read_record(app: FastAPI, id: str, user: User) -> dict[str, Any]:
    """Return the record of a fine-tuning of this user; APIError 404 for any other id."""
    path = get_folder(app) / f"{id}.json"
    if not (id.startswith("ftjob-") and id[6:].isalnum() and id.isascii()) or not path.is_file():
        raise build_unknown_id_error("fine-tuning job", id)
    record = manifest.read_json(path)
    user.check_owner(record["owner"], "fine-tuning job", id)
    return record


def continue_fine_tuning(app: FastAPI, record: dict[str, Any], user: User) -> None:
    """Continue a fine-tuning that has not reached its training, e.g. after the server was started again."""
    tasks: dict[str, asyncio.Task[None]] = app.state.__dict__.setdefault("fine_tunings", {})
    if record["job"] or record["ended"] or record["id"] in tasks:
        return
    task = asyncio.get_running_loop().create_task(prepare_training(app, record, user))
    tasks[record["id"]] = task
    task.add_done_callback(lambda _: tasks.pop(record["id"], None))


async def prepare_training(app: FastAPI, record: dict[str, Any], user: User) -> None:
    """Make the file into data to train on, or into ratings to learn from, and queue the training."""
    try:
        rows = await run_in_threadpool(read_rows, app, record["training_file"], user, record["method"])
        prepare_method = prepare_pairs if record["method"] == "dpo" else prepare_conversations
        kind, params = await prepare_method(app, record, rows, user)
        if manifest.read_json(get_folder(app) / f"{record['id']}.json")["ended"]:
            return  # it was cancelled meanwhile
        if record["ended"] is None:
            record["job"] = app.state.jobs.add(kind, params, user).id
    except GenloomError as error:
        record |= {"ended": "failed", "error": {"code": error.code, "message": hide_paths(error), "param": None}}
    write_record(app, record)


async def prepare_conversations(
    app: FastAPI, record: dict[str, Any], rows: list[Sample], user: User
) -> tuple[str, dict[str, Any]]:
    """Collect the conversations into a data set."""
    jobs, name = app.state.jobs, f"finetune-{record['id'][6:14]}"
    if not record["collect_job"]:
        upload = jobs.uploads.create(user)

        async def write_lines() -> Any:
            for row in rows:
                messages = [{"role": each.role, "content": each.content} for each in read_messages(row.messages)]
                yield (json.dumps({"messages": messages}, ensure_ascii=False) + "\n").encode()

        await jobs.uploads.add_file(upload, "conversations.jsonl", write_lines(), user)
        record["collect_job"] = jobs.add("collect", {"upload": upload, "name": name, "near_duplicates": 0}, user).id
        write_record(app, record)
    collected = await jobs.wait(record["collect_job"])
    if collected.state != "succeeded":
        error = collected.error or {}
        details = {"code": str(error.get("code")), "message": str(error.get("message"))}
        record |= {
            "ended": "cancelled" if collected.state == "cancelled" else "failed",
            "error": {**details, "param": None},
        }
        return "", {}
    settings, overrides = record["hyperparameters"], {}
    if settings["batch_size"] != "auto":
        overrides["batch_size"] = settings["batch_size"]
    length: dict[str, Any] = {"minutes": record["minutes"]}
    if settings["n_epochs"] != "auto":
        model = record["model"]
        per_row = [await app.state.engine.count_tokens(model, read_messages(row.messages)) for row in rows[:64]]
        tokens = sum(per_row) / len(per_row) * len(rows) * settings["n_epochs"]
        length = {"tokens": max(1, round(tokens))}
    return "train", {
        "data": name,
        "from": record["model"],
        "name": record["suffix"],
        "seed": record["seed"],
        "overrides": overrides,
        **length,
    }


async def prepare_pairs(
    app: FastAPI, record: dict[str, Any], rows: list[Pair], user: User
) -> tuple[str, dict[str, Any]]:
    """Store the answers of both sides, and choose the preferred ones, as a person would in the arena."""
    state, ref = app.state, record["model"]
    metadata = {"imported": record["training_file"], **({} if user.is_local else {"owner": user.id})}
    for first in range(0, len(rows), ROWS_AT_ONCE):
        pairs = rows[first : first + ROWS_AT_ONCE]
        answers = [
            (read_messages(pair.input.messages), read_messages(side)[0].content)
            for pair in pairs
            for side in (pair.preferred_output, pair.non_preferred_output)
        ]
        outputs = await state.engine.store_answers(ref, answers, metadata)
        for number in range(len(pairs)):
            id = f"{record['id']}-{first + number}"
            chosen, rejected = outputs[2 * number : 2 * number + 2]
            await run_in_threadpool(choose_answer, app, chosen, rejected, user, id)
    return "learn", {"model": ref, "minutes": record["minutes"], "seed": record["seed"]}


def choose_answer(app: FastAPI, chosen: str, rejected: str, user: User, id: str) -> None:
    """Record a choice once, though the preparation may be done again."""
    workspace = app.state.workspace
    try:
        workspace.choose(chosen, rejected, "a", rater=app.state.jobs.get_rater(user), id=id)
    except GenloomError as error:
        if error.code != "store.event_id_taken":
            raise


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
