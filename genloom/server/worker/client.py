"""The server's side: it starts the process when it is first asked, and again when it died or took too long."""

import asyncio
import itertools
import json
import sys
from typing import Any

from genloom.api.workspace import Workspace
from genloom.server.child_process import build_environment, kill_process
from genloom.server.errors import APIError
from genloom.server.remote_error import RemoteError

IDLE_SECONDS = 120.0
_MAX_LINE = 64 << 20


class Worker:
    """Answers one question after the other."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._idle: asyncio.TimerHandle | None = None

    async def ask(self, question: str, *, seconds: float = 60.0, **values: Any) -> Any:
        """Return the answer to a question of `questions.py`; GenloomError of the process, or 503 after the time."""
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            try:
                return await asyncio.wait_for(self._exchange(question, values), seconds)
            except TimeoutError:
                await self.stop()
                raise APIError("studio.took_too_long", status=503, seconds=seconds) from None
            except (ConnectionError, EOFError):
                await self.stop()
                raise APIError("studio.worker_died", status=503, headers={"retry-after": "1"}) from None
            except asyncio.CancelledError:  # the client left; its answer must not be taken for the next one's
                kill_process(self._process)
                self._process = None
                raise
            finally:
                self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        """End the process, which holds libraries in memory, when nobody asked it for a while."""
        kill_process(self._process)

    async def stop(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        kill_process(process)
        if process is not None:
            await process.wait()

    async def _exchange(self, question: str, values: dict[str, Any]) -> Any:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "genloom.server.worker.process", str(self._workspace.folder)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=_MAX_LINE,
                env=build_environment(self._workspace),
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        number = next(self._numbers)
        request = {"number": number, "question": question, "values": values}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError
        answer = json.loads(line)
        assert answer["number"] == number, "answers come in the order of the questions"
        if "code" in answer:
            raise RemoteError(answer["code"], answer["message"])
        return answer["answer"]
