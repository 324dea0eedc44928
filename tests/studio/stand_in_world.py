"""What the stand-in knows, and its jobs, which run as those of a model would."""

import asyncio
import base64
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from PIL import Image

from genloom.server.studio.shapes.conversations import Context, ConversationDetail, Turn
from genloom.server.studio.shapes.jobs import Job, Progress
from genloom.server.studio.shapes.outputs import Output
from tests.studio.stand_in_data import (
    MODELS,
    PROMPTS,
    WORDS,
    draw_picture,
    make_output,
    make_outputs,
)


def dump(shape: Any) -> Any:
    return shape.model_dump(mode="json")


def make_page(rows: list[Any], cursor: str | None = None, limit: int = 100) -> dict[str, Any]:
    """Return a page of a list; the cursor is an index."""
    start = int(cursor or 0)
    page = rows[start : start + limit]
    more = start + limit < len(rows)
    return {
        "object": "list",
        "data": [dump(each) if hasattr(each, "model_dump") else each for each in page],
        "has_more": more,
        "next": str(start + limit) if more else None,
        "total": len(rows),
    }


class World:
    """What the stand-in knows, and what a test changes."""

    def __init__(self, outputs: int = 60, tokens_per_second: float = 60, turns: int = 0) -> None:
        self.tokens_per_second = tokens_per_second
        self.chunks_per_second = 30
        self.seconds_a_picture = 0.6
        self.reply: Callable[[str], str] | None = None
        self.find_context: Callable[[ConversationDetail], Context | None] | None = None
        self.is_signed_in = True
        self.provider: str | None = None  # to sign in with
        self.provider_address = ""
        self.breaks_events = False
        self.holds_events = False  # whether a page that connects has to wait
        self.holds_jobs = False  # whether jobs stop in the middle: of a text, and before the last step of a picture
        self.requests: list[tuple[str, str, Any]] = []
        self.jobs: dict[str, Job] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.events: list[dict[str, Any]] = []
        self.waiting: set[asyncio.Event] = set()
        self.count = 0
        self.uploads: dict[str, Image.Image] = {}
        self.outputs = {each.id: each for each in make_outputs(outputs)}
        self.conversations: dict[str, ConversationDetail] = {}
        self.again: dict[str, dict[str, Any]] = {}  # what an output is made again with, where a test says so
        self.fault: dict[str, tuple[int, dict[str, Any]]] = {}
        self.answers: list[Callable[..., Any]] = []  # of other parts of the stand-in: asked first

    def now(self) -> str:
        self.count += 1
        return (datetime.now(UTC)).isoformat()

    def emit(self, type: str, data: dict[str, Any]) -> None:
        self.events.append({"id": len(self.events) + 1, "type": type, "at": self.now(), "data": data})
        for each in self.waiting:
            each.set()

    def add_output(self, model: str, medium: str, prompt: str | None = None, **facts: Any) -> Output:
        prompt = PROMPTS[medium][0] if prompt is None else prompt
        output = make_output(len(self.outputs), model, medium, prompt, created=self.now(), **facts)
        self.outputs[output.id] = output
        return output


async def pass_gate(is_closed: Callable[[], bool]) -> None:
    """Wait until a test opens the gate."""
    while is_closed():
        await asyncio.sleep(0.01)


async def generate(world: World, job: Job) -> None:
    """Run a job of kind generate or chat as a model would."""
    params = job.params
    model = params["model"]
    medium = next(medium for name, medium in MODELS if model.split("/")[0] == name)
    prompts = params.get("prompts") or [params.get("prompt", "")]
    outputs = []
    job.state, job.started = "running", world.now()
    world.emit("job.running", {"job": dump(job)})
    for n in range(params.get("n") or 1):
        for prompt in prompts:
            text = None
            seed = params["seed"] + n if params.get("seed") is not None else None
            if medium == "text":
                whole = world.reply(prompt) if world.reply else " " + " ".join(random.choices(WORDS, k=60))
                text = ""
                step = max(1, round(4 * world.tokens_per_second / world.chunks_per_second))  # 4 characters a token
                while len(text) < len(whole):
                    piece = whole[len(text) : len(text) + step]
                    world.emit("job.text", {"id": job.id, "start": len(text), "text": piece})
                    text += piece
                    job.progress.text = text
                    await asyncio.sleep(1 / world.chunks_per_second)
                    if len(text) >= len(whole) / 2:
                        await pass_gate(lambda: world.holds_jobs)
            else:
                for step in range(4):
                    data = base64.b64encode(draw_picture(f"{job.id}{n}{step}", 8 + 8 * step)).decode()
                    job.progress = Progress(
                        share=(n + step / 4) / (params.get("n") or 1),
                        stage="Denoising",
                        step=step,
                        steps=4,
                        seconds_left=2,
                        preview=f"data:image/png;base64,{data}" if medium == "image" else None,
                    )
                    world.emit("job.progress", {"id": job.id, "kind": job.kind, "progress": dump(job.progress)})
                    await asyncio.sleep(world.seconds_a_picture / 4)
                    if step == 2:
                        await pass_gate(lambda: world.holds_jobs)
            output = world.add_output(model, medium, prompt=prompt, text=text, job=job.id, seed=seed)
            outputs.append(output.id)
            job.result = {"outputs": list(outputs)}
            world.emit("output.created", {"id": output.id, "job": job.id, "model": model, "medium": medium})
    job.state, job.finished, job.result, job.can_cancel = "succeeded", world.now(), {"outputs": outputs}, False
    if job.kind == "chat":
        conversation = world.conversations[params["conversation"]]
        turn = Turn(
            id=f"turn{world.count}",
            parent=params["question"],
            role="assistant",
            content=text or "",
            created=world.now(),
            model=model,
            output=outputs[0],
            job=job.id,
            context=world.find_context(conversation) if world.find_context else None,
        )
        conversation.tree.append(turn)
        conversation.leaf = turn.id
        job.result = {"outputs": outputs, "turn": turn.id, "conversation": conversation.id}
        world.emit("conversation.changed", {"id": conversation.id})
    world.emit("job.succeeded", {"job": dump(job)})


def start_job(world: World, kind: str, params: dict[str, Any]) -> Job:
    job = Job.model_validate(
        {
            "id": f"2026-11-30-j{len(world.jobs):05d}",
            "kind": kind,
            "title": f"{kind} {params.get('model', '')}",
            "state": "queued",
            "owner": "local",
            "params": params,
            "created": world.now(),
            "position": 1,
            "can_cancel": True,
            "progress": Progress(),
        }
    )
    world.jobs[job.id] = job
    world.emit("job.queued", {"job": dump(job)})

    async def run() -> None:
        try:
            await generate(world, job)
        except asyncio.CancelledError:
            job.state, job.finished, job.can_cancel = "cancelled", world.now(), False
            if job.progress.text:
                output = world.add_output(
                    params["model"], "text", prompt=params.get("prompt", ""), text=job.progress.text, job=job.id
                )
                job.result = {"outputs": [output.id]}
                world.emit("output.created", {"id": output.id, "job": job.id, "model": output.model})
            world.emit("job.cancelled", {"job": dump(job)})

    world.tasks[job.id] = asyncio.create_task(run())
    return job
