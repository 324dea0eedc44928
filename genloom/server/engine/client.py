"""The server's side of the engine: it starts the process, hands it requests and passes on what happens to them."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from genloom.api.workspace import Workspace
from genloom.server.child_process import build_environment
from genloom.server.engine import messages
from genloom.server.engine.messages import EngineEvent, Finished, GenerationRequest, Started
from genloom.server.errors import APIError
from genloom.types import Message

MAX_REQUESTS = 256  # that are open at a time; more are refused
MIN_LIFE_SECONDS = 5.0  # a process that ends sooner is started again after a pause
STOP_SECONDS = 5.0
LAST_EVENTS = ("Finished", "result", "error", "died")  # of a request


class EngineBusy(APIError):
    """The queue is full."""

    @property
    def retry_after(self) -> int:
        """The seconds after which a place should be free."""
        return int(self.headers["retry-after"])


class EngineDied(APIError):
    """The process ended while it worked on the request."""


def build_death_error() -> EngineDied:
    return EngineDied("server.engine_died", status=503, headers={"retry-after": "2"})


@dataclass(eq=False)
class OpenRequest:
    """A request in the engine, and what has happened to it."""

    id: str
    inbox: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)
    is_done: bool = False


class Engine:
    """The process that generates, as the server sees it."""

    def __init__(self, workspace: Workspace, config: Any = None, max_requests: int = MAX_REQUESTS) -> None:
        self.workspace, self.max_requests = workspace, max_requests
        self._open: dict[str, OpenRequest] = {}
        self._state: dict[str, Any] = {"models": [], "active": 0, "waiting": 0, "steps": 0}
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._unsent: list[Mapping[str, Any]] = []
        self._is_stopping, self._recent_seconds, self._num_starts = False, 1.0, 0

    async def start(self) -> None:
        """Start the process; it loads its libraries while the server is already answering."""
        self._is_stopping = False
        await self._start_process()
        self._keeper = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """End the process, and its requests with an error."""
        self._is_stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()  # it ends by itself
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        self._fail_all()

    close = stop

    async def submit(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        """Yield what happens to a request. Closing the generator cancels it.

        Raises EngineBusy before anything has happened, GenloomError for what the model cannot do, and EngineDied.
        """
        if len(self._open) >= self.max_requests:
            raise EngineBusy(
                "server.engine_busy",
                status=429,
                public_code="rate_limit_exceeded",
                headers={"retry-after": str(self._estimate_wait())},
                limit=self.max_requests,
            )
        started_at = time.monotonic()
        message = {"kind": "generate", **messages.pack_request(request)}
        async with aclosing(self._exchange(request.id, message)) as tables:
            async for table in tables:
                event = messages.unpack_event(table)
                if isinstance(event, Finished):
                    self._recent_seconds += 0.1 * (time.monotonic() - started_at - self._recent_seconds)
                yield event

    def cancel(self, id: str) -> None:
        """End a request within one step; its generator finishes, with what was kept of it."""
        if id in self._open:
            self._send({"kind": "cancel", "id": id})

    async def describe(self, ref: str) -> dict[str, Any]:
        """Return what a model can do: medium, context length, fingerprint, options …"""
        return await self._ask("describe", model=ref)

    async def score(self, request: GenerationRequest) -> Started:
        """Return the log-probabilities of the prompts' tokens; nothing is generated."""
        event = messages.unpack_event(await self._ask("score", **messages.pack_request(request)))
        assert isinstance(event, Started)
        return event

    async def embed(self, ref: str, texts: Sequence[str]) -> dict[str, Any]:
        """Return `embeddings`, one vector a text, and `num_tokens`."""
        return await self._ask("embed", model=ref, texts=list(texts))

    async def store_answers(
        self, ref: str, answers: Sequence[tuple[Sequence[Message], str]], metadata: Mapping[str, Any]
    ) -> list[str]:
        """Store answers to conversations that come from elsewhere as outputs to learn from; return their ids."""
        rows = [{"messages": [asdict(each) for each in messages], "answer": text} for messages, text in answers]
        return (await self._ask("store_answers", model=ref, answers=rows, metadata=dict(metadata)))["output_ids"]

    async def count_tokens(self, ref: str, value: str | Sequence[Message]) -> int:
        """Return how many tokens a text has, or a conversation with the beginning of its answer."""
        table: dict[str, Any] = (
            {"text": value} if isinstance(value, str) else {"messages": [asdict(each) for each in value]}
        )
        return (await self._ask("count", model=ref, **table))["num_tokens"]

    def state(self) -> dict[str, Any]:
        """Return the loaded models with their bytes, and how many requests run and wait."""
        process = self._process
        is_running = process is not None and process.returncode is None
        return {
            "state": "running" if is_running else "stopped",
            "pid": process.pid if process is not None and is_running else None,
            "starts": self._num_starts,
            "models": self._state["models"],
            "steps": self._state["steps"],
            "queue": {"active": self._state["active"], "open": len(self._open), "limit": self.max_requests},
        }

    async def _ask(self, kind: str, id: str = "", **values: Any) -> dict[str, Any]:
        id = id or messages.make_request_id()
        async with aclosing(self._exchange(id, {"kind": kind, "id": id, **values})) as tables:
            async for table in tables:
                return table["result"]
        raise build_death_error()

    async def _exchange(self, id: str, message: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """Send a message, and yield what the process sends for its id; raise the error that it sends."""
        async with aclosing(self.exchange_tables(id, message)) as tables:
            async for table in tables:
                if table["event"] == "error":
                    raise messages.unpack_error(table)
                if table["event"] == "died":
                    raise build_death_error()
                yield table

    async def exchange_tables(self, id: str, message: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """Send a message, and yield what the process sends for its id, errors too; closing the generator cancels it."""
        request = self._open[id] = OpenRequest(id)
        try:
            self._send(message)
            while not request.is_done:
                table = await request.inbox.get()
                request.is_done = table["event"] in LAST_EVENTS
                yield table
        finally:
            self._open.pop(id, None)
            if not request.is_done:
                self._send({"kind": "cancel", "id": id})

    def _send(self, message: Mapping[str, Any]) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            if self._is_stopping:
                self._fail_all()
            else:
                self._unsent.append(message)  # until the next process is there
            return
        assert process.stdin is not None
        process.stdin.write(messages.to_frame(message))

    def _estimate_wait(self) -> int:
        """Return the seconds after which a place should be free: a share of what requests took lately."""
        return max(1, min(60, round(self._recent_seconds * len(self._open) / 32)))

    async def _start_process(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "genloom.server.engine.process", str(self.workspace.folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=build_environment(self.workspace),
        )
        self._num_starts += 1
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self._send(message)

    async def _keep_running(self) -> None:
        """Read what the process sends; when it dies, end its requests with an error and start it again."""
        while True:
            started_at, process = time.monotonic(), self._process
            assert process is not None
            assert process.stdout is not None
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._read_frames(process.stdout)
            await process.wait()
            self._fail_all()
            if self._is_stopping:
                return
            if time.monotonic() - started_at < MIN_LIFE_SECONDS:
                await asyncio.sleep(1)
            self._state = {"models": [], "active": 0, "waiting": 0, "steps": 0}
            await self._start_process()

    async def _read_frames(self, stream: asyncio.StreamReader) -> None:
        while True:
            size = int.from_bytes(await stream.readexactly(4), "little")
            for table in json.loads(await stream.readexactly(size)):
                if table["event"] == "state":
                    self._state = table
                elif (request := self._open.get(table["id"])) is not None:
                    request.inbox.put_nowait(table)

    def _fail_all(self) -> None:
        for request in self._open.values():
            request.inbox.put_nowait({"event": "died"})
