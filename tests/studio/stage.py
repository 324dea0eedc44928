"""Servers that play worlds to browsers."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from tests.studio.stand_in import build_app
from tests.studio.stand_in_world import World


class Stage:
    """A server on a port of its own that plays one world after the other: starting one for each test takes a while."""

    def __init__(self) -> None:
        self.app: Any = CLOSED
        self.loop: asyncio.AbstractEventLoop | None = None
        options: dict[str, Any] = {"interface": "asgi3", "lifespan": "off", "log_level": "warning"}
        config = uvicorn.Config(self.answer, port=0, timeout_graceful_shutdown=1, **options)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            self.thread.join(0.01)
        self.address = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        is_studio = scope["path"].startswith("/studio/")

        async def send_to_keep(message: Any) -> None:
            """Browsers keep the files of the studio from one test to the next, and nothing of a world."""
            if message["type"] == "http.response.start":
                others = [header for header in message["headers"] if header[0] != b"cache-control"]
                keeping = b"max-age=86400" if is_studio else b"no-store"
                message["headers"] = [*others, (b"cache-control", keeping)]
            await send(message)

        self.loop = asyncio.get_running_loop()
        await self.app(scope, receive, send_to_keep)

    @contextmanager
    def play(self, world: World) -> Generator[str]:
        """Answer for a world; gives the address. At the end its jobs and channels end too."""
        self.app = build_app(world)
        try:
            yield self.address
        finally:
            self.app = CLOSED
            if self.loop is not None:
                self.loop.call_soon_threadsafe(end_world, world)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(5)


CLOSED = Starlette()


def end_world(world: World) -> None:
    """End what a world does by itself: its jobs, and the channels of events."""
    world.breaks_events, world.holds_events, world.holds_jobs = True, False, False
    for each in world.waiting:
        each.set()
    for task in world.tasks.values():
        task.cancel()
