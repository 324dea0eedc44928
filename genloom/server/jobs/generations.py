"""Jobs that the engine answers: outputs of a prompt, and pairs for the arena."""

import asyncio
import base64
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.server.access import LOCAL_USER_ID
from genloom.server.engine.client import EngineBusy, EngineDied
from genloom.server.engine.messages import GenerationRequest, Preview, Progress, Started, Stored, Text
from genloom.server.jobs.outcomes import JobCancelled, ProcessDied
from genloom.server.jobs.pairs import plan_pairs
from genloom.server.jobs.store import Job
from genloom.types import Message

if TYPE_CHECKING:
    from genloom.server.jobs.jobs import Jobs

_NUM_PREVIEWS = 6
_SECONDS_BETWEEN_TEXTS = 0.05
_SECONDS_BETWEEN_REPORTS = 0.5
_SECONDS_OF_A_TEMPLATE = 300.0  # also while the worker starts
_SECONDS_BETWEEN_LOOKS = 0.1  # at an engine that starts


class Generation:
    """A request to the engine for a job, and what came of it so far."""

    def __init__(self, jobs: "Jobs", job: Job) -> None:
        self.jobs, self.job = jobs, job
        self.outputs: dict[str, str] = {}  # the text of each by its id
        self.texts: dict[int, str] = {}  # by the number of the output
        self.num_withheld = 0  # outputs that copy training data
        self._told: dict[int, int] = {}
        self._told_at = self._reported_at = 0.0
        self._progress: dict[str, Any] = {"share": 0.0, "stage": "Waiting for the model"}

    async def run(self, request: GenerationRequest, base: float = 0.0, width: float = 1.0) -> list[str]:
        """Generate, and return the ids of the outputs; `base` and `width` are its part of the job's progress.

        Raises JobCancelled if the job was cancelled, and ProcessDied if the engine died.
        """
        while True:
            await self.wait_for_engine()
            try:
                outputs = await self._follow(request, base, width)
                break
            except EngineBusy as error:  # programs fill its queue; this job has time
                await asyncio.sleep(error.retry_after)
            except EngineDied:
                raise ProcessDied from None
        self.tell_texts(is_last=True)
        self.outputs |= outputs
        if self.jobs.is_cancelling(self.job.id):
            raise JobCancelled
        return list(outputs)

    async def wait_for_engine(self) -> None:
        """Wait while the engine starts again, so that a job does not use up its attempts in that time."""
        while self.jobs.engine.state()["state"] != "running":
            if self.jobs.is_cancelling(self.job.id):
                raise JobCancelled
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    async def _follow(self, request: GenerationRequest, base: float, width: float) -> dict[str, str]:
        """Pass on what happens to a request, and return the texts of its outputs by their ids."""
        outputs: dict[str, str] = {}
        self.jobs.requests[self.job.id] = request.id
        if self.jobs.is_cancelling(self.job.id):
            raise JobCancelled
        async with aclosing(self.jobs.engine.submit(request)) as events:
            async for event in events:
                match event:
                    case Started(num_steps=steps):
                        await self.report(share=base, stage="Generating", step=0, steps=steps)
                    case Text(row, text):
                        self.texts[row] = self.texts.get(row, "") + text
                        self.tell_texts()
                        await self.report(stage="Generating")
                    case Progress(step, total, note):
                        share = base + width * step / max(total, 1)
                        await self.report(share=share, stage="Generating", step=step, steps=total, note=note)
                    case Preview(0, _, mime, data):
                        await self.report(preview=f"data:{mime};base64,{base64.b64encode(data).decode()}")
                    case Stored(is_withheld=True):
                        self.num_withheld += 1
                    case Stored(output_id=id, text=text):
                        outputs[id] = text
                        self.tell_output(id, request.model)
        del self.jobs.requests[self.job.id]
        return outputs

    async def report(self, **progress: Any) -> None:
        """Tell the progress, at most twice a second but for the first time and for previews."""
        now = time.monotonic()
        self._progress |= progress
        if "preview" in progress or now - self._reported_at > _SECONDS_BETWEEN_REPORTS:
            self._reported_at = now
            text = {"text": self.texts[0]} if 0 in self.texts else {}
            await asyncio.to_thread(self.jobs.report, self.job, {**self._progress, **text})

    def tell_texts(self, *, is_last: bool = False) -> None:
        """Tell the characters that were not told yet, at most twenty times a second."""
        now = time.monotonic()
        if not is_last and now - self._told_at < _SECONDS_BETWEEN_TEXTS:
            return
        self._told_at = now
        for row, text in self.texts.items():
            told = self._told.get(row, 0)
            if len(text) > told:
                self.jobs.tell_text(self.job, row, count_units(text[:told]), text[told:])
                self._told[row] = len(text)

    def tell_output(self, id: str, model: str) -> None:
        data = {"id": id, "job": self.job.id, "model": model}
        self.jobs.events.publish("output.created", data, self.job.owner)


async def generate(jobs: "Jobs", job: Job) -> dict[str, Any]:
    """Run a job of kind generate; outputs that an earlier attempt stored are not made again."""
    params = job.params
    stored, nonces = await asyncio.to_thread(find_stored, jobs, job)
    prompts = tuple(params["prompts"]) or (params["prompt"],)
    generation = Generation(jobs, job)
    if len(stored) < len(prompts) * params["n"]:
        filled = await fill_template(generation, params)
        request = GenerationRequest(
            model=params["model"],
            prompts=prompts,
            messages=filled.messages,
            n=params["n"],
            seed=params["seed"],
            skip_nonces=nonces,
            stop=(*params["stop"], *filled.stop),
            params={**params["params"], **filled.params, **resolve_files(jobs, params["files"])},
            given=(params["given"],) if params["given"] else (),
            presets=tuple(params["preset"]),
            adapters=tuple(params["adapters"]),
            precision=params["precision"],
            is_chat=params["is_chat"],
            is_marked=params.get("is_marked", True),  # which jobs of earlier versions do not say
            refuse_copies=params.get("refuse_copies", False),
            continue_from=params["continue_from"],
            keeps_partial=True,
            num_previews=_NUM_PREVIEWS,
            owner=get_record_owner(job),
            metadata={"job": job.id, **filled.facts},
        )
        await generation.run(request)
    return {"outputs": [*stored, *generation.outputs], "withheld": generation.num_withheld}


@dataclass(frozen=True)
class FilledTemplate:
    """The question of a prompt of the library with its values, how the answer is drawn, and what records say of it."""

    messages: tuple[Message, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


async def fill_template(generation: Generation, params: Mapping[str, Any]) -> FilledTemplate:
    """Return what a job with a template asks; nothing for one without."""
    template = params.get("template")
    if template is None:
        return FilledTemplate()
    await generation.report(stage="Waiting for the model")
    filled = await generation.jobs.slow_worker.ask(
        "fill_prompt",
        seconds=_SECONDS_OF_A_TEMPLATE,
        model=params["model"],
        prompt=template["name"],
        given=template["given"],
        length=template["length"],
        params=params["params"],
    )
    messages = tuple(Message(**each) for each in filled["messages"])
    return FilledTemplate(messages, filled["params"], tuple(filled["stop"]), filled["facts"])


def find_stored(jobs: "Jobs", job: Job) -> tuple[list[str], tuple[int, ...]]:
    """Return the outputs that earlier attempts of a job stored, and the nonces of their noise."""
    if job.attempts < 2:
        return [], ()
    jobs.index.sync()
    rows = jobs.index.find_by("job", job.id)
    return [row["id"] for row in rows], tuple(row["seed"] for row in rows if row["seed"] is not None)


def resolve_files(jobs: "Jobs", files: Mapping[str, str]) -> dict[str, Path]:
    """Return the path of each file that is named as output:ID or upload:ID; whose they are was checked before."""
    paths = {}
    for name, ref in files.items():
        kind, _, id = ref.partition(":")
        if kind == "output":
            paths[name] = jobs.workspace.output(id).path
        else:
            paths[name] = jobs.uploads.find_file(id)
    return paths


def get_record_owner(job: Job) -> str:
    """Return the owner as records of outputs name it: "" is the person at the machine."""
    return "" if job.owner == LOCAL_USER_ID else job.owner


def count_units(text: str) -> int:
    """Return the length of a text as JavaScript counts it, in units of UTF-16."""
    return len(text) + sum(ord(c) > 0xFFFF for c in text)


async def make_pairs(jobs: "Jobs", job: Job) -> dict[str, Any]:
    """Make the pairs of a session of the arena; those that are there already stay."""
    await asyncio.to_thread(jobs.index.sync)
    plan = await asyncio.to_thread(plan_pairs, jobs.workspace, jobs.index, job)
    generation, total = Generation(jobs, job), len(plan.tasks)
    for done, pair in enumerate(plan.missing, start=len(plan.pairs)):
        await generation.report(note=f"{done} of {total} pairs", share=done / total)
        for outputs in pair.outputs:
            request = GenerationRequest(
                model=outputs.model,
                prompts=(pair.prompt,),
                n=outputs.n,
                seed=outputs.seed,
                skip_nonces=outputs.nonces,
                params=job.params["params"],
                owner=get_record_owner(job),
                metadata={"arena": plan.session, "arena_task": pair.task, "job": job.id},
            )
            await generation.run(request, done / total, 1 / total)
        data = {"job": job.id, "model": job.params["model"], "done": done + 1, "total": total}
        jobs.events.publish("arena.pair", data, job.owner)
    return {"session": plan.session, "pairs": total}
