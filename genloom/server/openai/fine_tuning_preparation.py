"""Preparation of a fine-tuning: its file is read, and becomes a data set, or ratings to learn from."""

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from genloom.errors import GenloomError, format_message
from genloom.server.access import User, build_unknown_id_error
from genloom.server.errors import APIError, hide_paths
from genloom.server.jobs.jobs import Jobs
from genloom.server.openai.files import find_content
from genloom.server.openai.messages import ChatMessage, read_messages
from genloom.server.openai.shapes import Shape
from genloom.store import manifest

MAX_ROWS = 100_000
ROWS_AT_ONCE = 64  # stored by one call of the engine
_logger = logging.getLogger(__name__)


class Sample(Shape):
    messages: Annotated[list[ChatMessage], Field(min_length=1)]


class Pair(Shape):
    """A question with an answer that is preferred and one that is not."""

    input: Sample
    preferred_output: Annotated[list[ChatMessage], Field(min_length=1, max_length=1)]
    non_preferred_output: Annotated[list[ChatMessage], Field(min_length=1, max_length=1)]


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
    except Exception:  # else the job would wait for ever
        _logger.exception("the preparation of %s failed", record["id"])
        message = format_message("studio.job_failed")
        record |= {"ended": "failed", "error": {"code": "studio.job_failed", "message": message, "param": None}}
    write_record(app, record)


async def prepare_conversations(
    app: FastAPI, record: dict[str, Any], rows: list[Sample], user: User
) -> tuple[str, dict[str, Any]]:
    """Collect the conversations into a data set."""
    jobs: Jobs = app.state.jobs
    name = f"finetune-{record['id'][6:14]}"
    if not record["collect_job"]:
        upload = await run_in_threadpool(write_conversations, jobs, rows, user)
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


def write_conversations(jobs: Jobs, rows: list[Sample], user: User) -> str:
    """Write conversations as JSON lines, as an upload that is collected, and return its id."""
    upload = jobs.uploads.create(user)
    with jobs.uploads.write_file(upload, "conversations.jsonl", user) as write:
        for row in rows:
            messages = [{"role": each.role, "content": each.content} for each in read_messages(row.messages)]
            write((json.dumps({"messages": messages}, ensure_ascii=False) + "\n").encode())
    return upload


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
