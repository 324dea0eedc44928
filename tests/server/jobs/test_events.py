"""Events: rising numbers, each owner's own, read again after a break, and a reset where some are gone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from genloom.api.workspace import Workspace
from genloom.server.access import User
from genloom.server.jobs import events as events_module
from genloom.server.jobs.events import Events

LOCAL, BEA, CY = (User(id, id, frozenset()) for id in ("local", "bea", "cy"))


@asynccontextmanager
async def open_events(folder: Path) -> AsyncGenerator[Events]:
    events = Events(Workspace(folder))
    await events.start()
    try:
        yield events
    finally:
        await events.stop()


def list_events(events: Events, user: User, after: int) -> list[tuple[str, int]]:
    return [(event.type, event.data.get("n", -1)) for event in events.read(user, after)]


def test_everyone_reads_what_is_theirs_and_everybodys(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_events(tmp_path) as events:
            events.publish("output.created", {"n": 1}, "bea")
            events.publish("output.created", {"n": 2}, "cy")
            events.publish("model.created", {"n": 3})
            assert [n for _, n in list_events(events, BEA, 0)] == [1, 3]
            assert [n for _, n in list_events(events, CY, 0)] == [2, 3]
            assert [n for _, n in list_events(events, LOCAL, 0)] == [1, 2, 3]

    asyncio.run(story())


def test_numbers_rise_across_restarts_and_nothing_stored_is_missed(tmp_path: Path) -> None:
    async def first() -> int:
        async with open_events(tmp_path) as events:
            events.publish("job.queued", {"n": 1})
            seen = events.last
            events.publish("job.progress", {"n": 2})  # transient: the job has it, too
            events.publish("job.running", {"n": 3})
            return seen

    async def second(seen: int) -> None:
        async with open_events(tmp_path) as events:
            assert list_events(events, BEA, seen) == [("job.running", 3)]
            events.publish("job.succeeded", {"n": 4})
            read = events.read(BEA, seen)
            assert [event.data["n"] for event in read] == [3, 4]
            assert read[0].number < read[1].number

    asyncio.run(second(asyncio.run(first())))


def test_a_browser_that_missed_events_is_told_to_read_everything_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "MAX_EVENTS", 5)

    async def story() -> None:
        async with open_events(tmp_path) as events:
            for n in range(8):
                events.publish("job.queued", {"n": n})
            assert list_events(events, BEA, events.last - 5)[0] == ("job.queued", 3)
            assert list_events(events, BEA, events.last - 6) == [("reset", -1)]
            assert list_events(events, BEA, events.last + 1000) == [("reset", -1)]  # of another workspace

    asyncio.run(story())


def test_followers_see_events_at_once_and_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "HEARTBEAT_SECONDS", 0.05)

    async def story() -> None:
        async with open_events(tmp_path) as events:
            stream = events.follow(BEA, events.last)
            assert await anext(stream) is None  # a sign of life
            await asyncio.to_thread(events.publish, "job.queued", {"n": 1}, "bea")
            await asyncio.to_thread(events.publish, "job.queued", {"n": 2}, "cy")
            await asyncio.to_thread(events.publish, "job.running", {"n": 3}, "bea")
            seen = []
            while len(seen) < 2:
                event = await anext(stream)
                seen += [] if event is None else [event.data["n"]]
            assert seen == [1, 3]
            await stream.aclose()
            assert not events._followers

    asyncio.run(story())
