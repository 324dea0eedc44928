"""Streams: what they read from is closed when their client leaves, whether it was asked for a piece or not."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from genloom.api.workspace import Workspace
from genloom.server.access import User
from genloom.server.jobs.events import Events
from genloom.server.streams import ClosedStream, iter_in_threads, keep_going
from genloom.server.studio.events import write_events


async def send_until_left(stream: ClosedStream, num_pieces: int, spec_version: str) -> None:
    """Let a client read some pieces and leave: while the next one is sent to it, as a slow network does."""
    left = asyncio.Event()
    received = 0

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal received
        if message["type"] == "http.response.body":
            received += 1
        if received > num_pieces or (message["type"] == "http.response.start" and num_pieces < 0):
            left.set()
            if spec_version == "2.4":
                raise OSError
            await asyncio.Event().wait()

    scope: dict[str, Any] = {"type": "http", "asgi": {"spec_version": spec_version}}
    with contextlib.suppress(ClientDisconnect):
        await stream(scope, receive, send)


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_a_generator_ends_with_its_client(spec_version: str) -> None:
    async def story() -> None:
        ended = asyncio.Event()

        async def write() -> AsyncGenerator[str]:
            try:
                while True:
                    yield "a"
            finally:
                await asyncio.sleep(0)  # as one that has to tell somebody
                ended.set()

        await send_until_left(ClosedStream(write(), "text/plain", {}), 2, spec_version)
        assert ended.is_set()

    asyncio.run(story())


@pytest.mark.parametrize("num_pieces", [1, 2])
def test_nobody_follows_the_events_any_more_when_a_browser_is_gone(tmp_path: Path, num_pieces: int) -> None:
    async def story() -> None:
        events = Events(Workspace(tmp_path))
        await events.start()
        events.publish("job.queued", {"n": 1})
        events.publish("job.running", {"n": 2})
        stream = ClosedStream(write_events(events, User("local", "", frozenset()), 0), "text/event-stream", {})
        await send_until_left(stream, num_pieces, "2.3")
        assert not events._followers
        await events.stop()

    asyncio.run(story())


def test_what_a_subclass_has_to_undo_is_undone_even_if_nothing_was_sent() -> None:
    async def story() -> list[str]:
        undone = []

        async def write() -> AsyncGenerator[str]:
            yield "a"

        class Stream(ClosedStream):
            async def close(self) -> None:
                await super().close()
                undone.append("it")

        await send_until_left(Stream(write(), "text/plain", {}), -1, "2.3")
        return undone

    assert asyncio.run(story()) == ["it"]


def test_a_generator_in_a_thread_is_closed_when_the_thread_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, is_asked, is_closed = threading.Event(), threading.Event(), threading.Event()

    def read() -> Generator[bytes]:
        try:
            yield b"a"
            is_asked.set()
            gate.wait(60)
            yield b"b"
        finally:
            is_closed.set()

    async def story() -> None:
        async def read_all() -> None:
            async for _ in iter_in_threads(read()):
                pass

        reading = asyncio.create_task(read_all())
        await asyncio.to_thread(is_asked.wait, 60)
        reading.cancel()  # while the second piece is computed
        await asyncio.sleep(0)
        assert not is_closed.is_set()
        gate.set()
        await asyncio.wait([reading])

    asyncio.run(story())
    assert is_closed.is_set()


def test_work_goes_on_when_nobody_waits_for_it() -> None:
    async def story() -> bool:
        gate, done = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            await gate.wait()
            done.set()

        waiting = asyncio.create_task(keep_going(work()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        gate.set()
        await done.wait()
        return waiting.cancelled()

    assert asyncio.run(story())
