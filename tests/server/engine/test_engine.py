"""The engine as the server sees it: a process for many requests, bounded, and started again if it dies."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from genloom.api.workspace import Workspace
from genloom.server.engine import Engine, EngineBusy, EngineDied, Finished, GenerationRequest, Started, Stored, Text
from tests.errors import raises_code

LONG = {"max_tokens": 400, "temperature": 1.0}
Work = Callable[[Engine], Awaitable[None]]
WithEngine = Callable[..., None]


@pytest.fixture(scope="module")
def with_engine(engine_workspace: Workspace) -> Iterator[WithEngine]:
    """Return a function that works with an engine; the tests here share its process."""
    with start_blocking_portal() as portal:
        engine = Engine(engine_workspace)
        portal.call(engine.start)

        async def run(work: Work) -> None:
            await asyncio.wait_for(work(engine), 300)  # a busy machine starts processes slowly

        def call(work: Work, max_requests: int = 64) -> None:
            engine.max_requests = max_requests
            portal.call(run, work)

        yield call
        portal.call(engine.stop)


def write(max_tokens: int = 8, prompt: str = "The old king") -> GenerationRequest:
    return GenerationRequest("tales", prompts=(prompt,), is_chat=False, params={"max_tokens": max_tokens})


async def read(engine: Engine, request: GenerationRequest) -> list[object]:
    return [event async for event in engine.submit(request)]


def test_requests_are_answered_together_and_a_full_queue_refuses(
    engine_workspace: Workspace, with_engine: WithEngine
) -> None:
    async def work(engine: Engine) -> None:
        results = await asyncio.gather(*(read(engine, write(n, f"Tale {n}")) for n in range(3, 13)))
        for n, events in zip(range(3, 13), results, strict=True):
            assert isinstance(events[0], Started)
            assert isinstance(events[-1], Finished)
            (stored,) = [event for event in events if isinstance(event, Stored)]
            assert stored.num_tokens <= n
            assert engine_workspace.output(stored.output_id).continuation == stored.text
        assert engine.state()["models"][0]["ref"] == "tales/1"
        tasks = [asyncio.create_task(read(engine, write(40))) for _ in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(EngineBusy) as caught:
            await read(engine, write())
        assert (caught.value.status, caught.value.retry_after >= 1) == (429, True)
        await asyncio.gather(*tasks)
        assert (await read(engine, write()))[-1]

    with_engine(work, max_requests=10)


def test_errors_keep_their_code_and_text(with_engine: WithEngine) -> None:
    async def work(engine: Engine) -> None:
        with raises_code("store.unknown_name_near", name="tale", nearest="tales") as caught:
            await read(engine, GenerationRequest("tale"))
        assert "tales" in str(caught.value)
        assert (await engine.describe("tales"))["context_length"] == 512
        assert await engine.count_tokens("tales", "the sea") == 7

    with_engine(work)


def test_a_client_that_leaves_frees_its_place_and_one_that_stops_gets_an_end(with_engine: WithEngine) -> None:
    async def work(engine: Engine) -> None:
        for _ in range(5):
            events = engine.submit(GenerationRequest("tales", prompts=("T",), is_chat=False, params=LONG))
            async for event in events:
                if isinstance(event, Text):
                    break
            await events.aclose()
        request = GenerationRequest("tales", prompts=("T",), is_chat=False, params=LONG, keeps_partial=True)
        found = []
        async for event in engine.submit(request):
            found.append(event)
            if isinstance(event, Text):
                engine.cancel(request.id)
        (stored,) = [event for event in found if isinstance(event, Stored)]
        assert stored.finish_reason == "cancelled"
        assert stored.num_tokens < 400
        await read(engine, write(1))  # behind the others in the queue
        assert engine.state()["queue"] == {"active": 0, "open": 0, "limit": 64}

    with_engine(work)


def test_a_process_that_dies_ends_its_requests_and_is_started_again(
    engine_workspace: Workspace, with_engine: WithEngine
) -> None:
    async def work(engine: Engine) -> None:
        starts = engine.state()["starts"]
        events = engine.submit(GenerationRequest("tales", prompts=("T",), is_chat=False, params=LONG))
        assert isinstance(await anext(events), Started)
        os.kill(engine.state()["pid"], signal.SIGKILL)
        with pytest.raises(EngineDied) as caught:
            async for _ in events:
                pass
        assert caught.value.status == 503
        while engine.state()["starts"] == starts:
            await asyncio.sleep(0.05)
        assert (await read(engine, write()))[-1]
        assert not list(engine_workspace.folder.glob("outputs/*/*.reserved"))

    with_engine(work)
