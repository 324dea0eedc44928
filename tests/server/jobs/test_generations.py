"""Jobs in the engine: they wait for one that starts again or is busy, stop at once, and tell their texts in pieces."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.access import SCOPES, User
from genloom.server.engine.client import EngineBusy, build_death_error
from genloom.server.engine.messages import EngineEvent, GenerationRequest, Started
from genloom.server.jobs.events import Events
from genloom.server.jobs.jobs import Jobs
from tests.server.studio.conftest import QuickEngine

LOCAL = User("local", "ada", frozenset(SCOPES))


@asynccontextmanager
async def open_jobs(folder: Path, engine_class: Any) -> AsyncGenerator[Jobs]:
    workspace = Workspace(folder)
    events = Events(workspace)
    jobs = Jobs(workspace, None, events, engine_class(workspace))
    await events.start()
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()
        await events.stop()


class FragileEngine(QuickEngine):
    """Busy at first, then it dies after two outputs, and takes a moment to start again."""

    num_requests = 0
    looks_until_running = 0

    def state(self) -> dict[str, Any]:
        self.looks_until_running = max(self.looks_until_running - 1, 0)
        return {"state": "stopped" if self.looks_until_running else "running"}

    async def submit(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        self.num_requests += 1
        if self.num_requests == 1:
            raise EngineBusy("server.engine_busy", status=429, headers={"retry-after": "0"}, limit=256)
        num_stored = 0
        async for event in super().submit(request):
            yield event
            num_stored += type(event).__name__ == "Stored"
            if self.num_requests == 2 and num_stored == 2:
                self.looks_until_running = 5
                raise build_death_error()


def test_a_job_outlives_a_busy_engine_and_one_that_dies_without_a_double(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path, FragileEngine) as jobs:
            job = await jobs.wait(jobs.add("generate", {"model": "icons", "prompt": "abc", "n": 5}, LOCAL).id)
            assert (job.state, job.attempts) == ("succeeded", 2)
            assert job.result is not None
            assert sorted(job.result["outputs"]) == sorted(output.id for output in jobs.workspace.outputs)
            assert len(jobs.workspace.outputs) == 5
            assert jobs.engine.num_requests == 3

    asyncio.run(story())


class FaultyEngine(QuickEngine):
    """Has a fault after two outputs of the first request."""

    num_requests = 0

    async def submit(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        self.num_requests += 1
        num_stored = 0
        async for event in super().submit(request):
            yield event
            num_stored += type(event).__name__ == "Stored"
            if self.num_requests == 1 and num_stored == 2:
                raise GenloomError("server.engine_fault")


def test_a_job_that_failed_is_retried_without_a_double(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path, FaultyEngine) as jobs:
            job = await jobs.wait(jobs.add("generate", {"model": "icons", "prompt": "abc", "n": 5}, LOCAL).id)
            assert (job.state, len(jobs.workspace.outputs)) == ("failed", 2)
            jobs.retry(job.id, LOCAL)
            job = await jobs.wait(job.id)
            assert job.result is not None
            assert sorted(job.result["outputs"]) == sorted(output.id for output in jobs.workspace.outputs)
            assert len(jobs.workspace.outputs) == 5

    asyncio.run(story())


class LoadingEngine(QuickEngine):
    """Says nothing while it loads a model."""

    async def submit(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        while request.id not in self.cancelled:
            await asyncio.sleep(0.01)
        yield Started([], request.model, "text", "", 1, [])


def test_a_job_stops_also_while_its_model_loads(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path, LoadingEngine) as jobs:
            job = jobs.add("generate", {"model": "icons"}, LOCAL)
            while job.id not in jobs.requests:
                await asyncio.sleep(0.01)
            jobs.cancel(job.id, LOCAL)
            assert (await asyncio.wait_for(jobs.wait(job.id), 20)).state == "cancelled"
            assert jobs.requests == {}

    asyncio.run(story())


def test_texts_are_told_in_pieces_that_join_and_name_their_row(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path, QuickEngine) as jobs:
            after = jobs.events.last
            job = jobs.add("generate", {"model": "icons", "prompts": ["a🙂b wait", "c"]}, LOCAL)
            while not jobs.store.require(job.id).progress.get("text"):
                await asyncio.sleep(0.01)
            jobs.cancel(job.id, LOCAL)
            await jobs.wait(job.id)
            texts: dict[int, str] = {}
            for event in jobs.events.read(LOCAL, after):
                if event.type == "job.text":
                    text = texts.get(event.data["row"], "")
                    assert event.data["start"] == len(text.encode("utf-16-le")) // 2  # as JavaScript counts
                    texts[event.data["row"]] = text + event.data["text"]
            assert texts[0].endswith("tiaw b🙂a")
            assert texts[1] == "c"

    asyncio.run(story())
