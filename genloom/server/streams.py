"""Answers that are sent piece by piece, and close what they read from when their client has left."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_going: set[asyncio.Task[Any]] = set()  # work that nobody may wait for, kept from the garbage collector


class ClosedStream(StreamingResponse):
    """The pieces of a generator, which is closed when they are sent or their client has left.

    A generator that never began undoes nothing: what must be undone then, too, belongs to `close` of a subclass.
    """

    def __init__(
        self, pieces: AsyncGenerator[str] | AsyncGenerator[bytes], mime: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(pieces, media_type=mime, headers=headers)
        self.pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await keep_going(self.close())

    async def close(self) -> None:
        """End the source."""
        await self.pieces.aclose()


async def iter_in_threads(pieces: Generator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the pieces of a generator, each computed in a thread; closing this closes it as soon as that is done."""
    lock = threading.Lock()

    def compute_piece() -> bytes | None:
        with lock:
            return next(pieces, None)

    def close() -> None:
        with lock:
            pieces.close()

    try:
        while (piece := await run_in_threadpool(compute_piece)) is not None:
            yield piece
    finally:
        await keep_going(run_in_threadpool(close))


async def keep_going(work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of some work; if nobody waits for it any more, it still goes on to its end."""
    task = asyncio.create_task(work)
    _going.add(task)
    task.add_done_callback(_going.discard)
    return await asyncio.shield(task)
