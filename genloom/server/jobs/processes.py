"""The processes of jobs, as the server sees them: started, listened to, asked to stop, and ended."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from genloom.server.access import LOCAL_USER_ID
from genloom.server.child_process import kill_process
from genloom.server.jobs.outcomes import JobCancelled, ProcessDied
from genloom.server.jobs.store import Job
from genloom.server.remote_error import RemoteError

if TYPE_CHECKING:
    from genloom.server.jobs.jobs import Jobs

STOP_SECONDS = 30.0  # that a job has to save what it has, before its process is ended
_MAX_LINE = 64 << 20  # of a message of a job's process


class JobProcesses:
    """The processes of the jobs that run now."""

    def __init__(self, jobs: "Jobs") -> None:
        self.jobs = jobs
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def run(self, job: Job) -> dict[str, Any]:
        """Run a job in a process of its own, and return its result.

        Raises JobCancelled if it was asked to stop, GenloomError for what it could not do, and ProcessDied.
        """
        with open(self.jobs.workspace.folder / "server" / "job.log", "ab") as log:
            process = await self._start(log)
        self._processes[job.id] = process
        assert process.stdin is not None
        assert process.stdout is not None
        outcome: dict[str, Any] | None = None
        try:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(json.dumps(self._describe(job)).encode() + b"\n")
                if self.jobs.is_cancelling(job.id):
                    self.ask_to_stop(job.id)
                await process.stdin.drain()
            async for line in process.stdout:
                message = json.loads(line)
                if message["type"] in ("result", "error", "cancelled"):
                    outcome = message
                else:
                    await asyncio.to_thread(self._receive, job, message)
            await process.wait()
        finally:
            kill_process(process)
            del self._processes[job.id]
        match outcome:
            case {"type": "result", "result": result}:
                return result
            case {"type": "cancelled"}:
                raise JobCancelled
            case {"type": "error", "code": code, "message": message}:
                raise RemoteError(code, message)
        if self.jobs.is_cancelling(job.id):
            raise JobCancelled
        raise ProcessDied

    def ask_to_stop(self, id: str) -> None:
        """Ask a job to save what it has; after a while its process is ended. Nothing happens without a process."""
        process = self._processes.get(id)
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            process.stdin.write(b"stop\n")
        asyncio.get_running_loop().call_later(STOP_SECONDS, kill_process, process)

    def kill_all(self) -> None:
        for process in self._processes.values():
            kill_process(process)

    async def _start(self, log: BinaryIO) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "genloom.server.jobs.process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            limit=_MAX_LINE,
        )

    def _describe(self, job: Job) -> dict[str, Any]:
        """Return the job as its process reads it."""
        jobs = self.jobs
        paths: dict[str, Any] = {}
        if upload := job.params.get("upload"):
            paths["upload"] = jobs.uploads.list_entries(upload)
        if consent := job.params.get("consent"):
            paths["consent"] = str(jobs.uploads.find_file(consent))
        is_local = job.owner == LOCAL_USER_ID
        return {
            "id": job.id,
            "kind": job.kind,
            "lane": job.lane,
            "params": job.params,
            "notes": job.notes,
            "attempts": job.attempts,
            "created": job.created,
            "owner": "" if is_local else job.owner,
            "paths": paths,
            "workspace": str(jobs.workspace.folder),
            "ledger": jobs.workspace.ledger_url,
            "rater": jobs.workspace.rater if is_local else job.owner,
        }

    def _receive(self, job: Job, message: Mapping[str, Any]) -> None:
        match message:
            case {"type": "progress", "progress": progress}:
                self.jobs.report(job, progress)
            case {"type": "remember", "notes": notes}:
                self.jobs.store.write_notes(job.id, notes)
            case {"type": "note", "text": text}:
                self.jobs.store.add_log(job.id, "note", text)
            case {"type": "point" | "sample" | "estimate" as kind}:
                self.jobs.store.add_log(job.id, kind, message[kind])
