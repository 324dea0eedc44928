"""Engines on two machines answer as one, and one that dies costs only its own requests."""

import asyncio
import time
from typing import Any

import pytest

from genloom.api.workspace import Workspace
from genloom.cluster import import_ray
from genloom.server.engine import EngineDied, Finished, GenerationRequest, Text
from genloom.server.engine.replicas import ReplicatedEngine

LONG = {"max_tokens": 3000, "temperature": 1.0}


def write(max_tokens: int = 6) -> GenerationRequest:
    return GenerationRequest("tales", prompts=("The old king",), is_chat=False, params={"max_tokens": max_tokens})


async def read(engine: ReplicatedEngine, request: GenerationRequest) -> list[Any]:
    return [event async for event in engine.submit(request)]


@pytest.mark.usefixtures("machines")
def test_requests_are_spread_and_a_replica_that_dies_comes_back(trained_copy: Any) -> None:
    async def work() -> None:
        engine = ReplicatedEngine(Workspace(trained_copy.root), num_replicas=2)
        await engine.start()
        try:
            results = await asyncio.gather(*(read(engine, write()) for _ in range(6)))
            assert all(isinstance(events[-1], Finished) for events in results)
            assert (await engine.describe("tales"))["medium"] == "text"
            long = GenerationRequest("tales", prompts=("The",), is_chat=False, params=LONG)
            with pytest.raises(EngineDied):
                async for event in engine.submit(long):
                    if isinstance(event, Text):
                        kill_engine_of(engine, long.id)
            assert isinstance((await read(engine, write()))[-1], Finished)
            cancelled = GenerationRequest("tales", prompts=("The",), is_chat=False, params=LONG, keeps_partial=True)
            kinds = set()
            async for event in engine.submit(cancelled):
                kinds.add(type(event))
                engine.cancel(cancelled.id)
            assert Finished in kinds
            await wait_for_state(engine, 2)
        finally:
            await engine.stop()

    asyncio.run(asyncio.wait_for(work(), 300))


def kill_engine_of(engine: ReplicatedEngine, id: str) -> None:
    """Kill the actor that works on a request, if it still does."""
    if id in engine._places:
        import_ray().kill(engine._places[id].actor, no_restart=False)


async def wait_for_state(engine: ReplicatedEngine, num_running: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        states = [replica.state for replica in engine._replicas if replica.state is not None]
        if len(states) >= num_running and engine.state()["state"] == "running":
            return
        await asyncio.sleep(0.2)
    raise AssertionError("the replicas did not come back")
