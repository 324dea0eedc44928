"""The service of jobs: queues them, runs them in processes of their own or in the engine, and tells what happens."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from genloom.api.outputs import Output
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError, format_message
from genloom.server.access import LOCAL_USER_ID, User, build_unknown_id_error
from genloom.server.conversations import Conversations
from genloom.server.design import check_goals
from genloom.server.errors import APIError, hide_paths
from genloom.server.exports import remove_old_exports
from genloom.server.index import OutputIndex
from genloom.server.jobs.chats import answer_question
from genloom.server.jobs.events import Events
from genloom.server.jobs.generations import generate, make_pairs
from genloom.server.jobs.names import resolve_names
from genloom.server.jobs.outcomes import JobCancelled, ProcessDied
from genloom.server.jobs.params import get_lane, get_scope, parse_params
from genloom.server.jobs.processes import STOP_SECONDS, JobProcesses
from genloom.server.jobs.store import Job, JobStore, Lane
from genloom.server.jobs.titles import build_title
from genloom.server.library import Marks, open_library
from genloom.server.prompts import resolve_prompts
from genloom.server.uploads import Uploads
from genloom.server.worker.client import Worker
from genloom.store import files
from genloom.store.names import is_timed_id

MAX_ATTEMPTS = 3  # of a job whose process dies
MAX_QUEUED = 10_000
# The jobs of a lane that run at the same time. A design takes minutes, for which verification does not wait.
SLOTS: Mapping[Lane, int] = {"heavy": 1, "design": 1, "light": 1, "engine": 4}

_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {  # of parameters, beside their shape
    "design": lambda params: check_goals(params["goals"])
}
_TAKES_UPLOADS = frozenset(("collect", "import", "knowledge"))  # kinds of jobs whose result holds the files

_logger = logging.getLogger(__name__)

Handler = Callable[[Job], Awaitable[dict[str, Any]]]


class Jobs:
    """The jobs of a workspace; only one server at a time runs them."""

    local_user = User(LOCAL_USER_ID, LOCAL_USER_ID, frozenset())  # who sees everything

    def __init__(self, workspace: Workspace, config: Any, events: Events, engine: Any = None) -> None:
        self.workspace, self.events, self.engine = workspace, events, engine
        self.index, self.uploads = OutputIndex(workspace), Uploads(workspace)
        # For pages, for what takes seconds, and for forecasts, which take longer.
        self.worker, self.slow_worker, self.forecaster = Worker(workspace), Worker(workspace), Worker(workspace)
        self.speaker, self.listener = Worker(workspace), Worker(workspace)  # of texts, and of recordings
        self.displays: dict[str, dict[str, Any]] = {}  # what pages show of each medium
        self.options: dict[str, list[dict[str, Any]]] = {}  # of generation, by the digest of the model
        self.forecasts: dict[str, dict[str, Any]] = {}
        self._handlers: dict[str, Handler] = {
            "generate": partial(generate, self),
            "arena": partial(make_pairs, self),
            "chat": partial(answer_question, self),
        }
        self._processes = JobProcesses(self)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancelling: set[str] = set()
        self.requests: dict[str, str] = {}  # to the engine, by the job
        self._is_stopping = False

    def register(self, kind: str, handler: Handler) -> None:
        """Say what runs the jobs of a kind that the engine answers; raise JobCancelled in it to stop."""
        self._handlers[kind] = handler

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = contextlib.ExitStack()
        busy = GenloomError("studio.workspace_in_use", workspace=self.workspace.folder)
        self._lock.enter_context(files.lock_folder(self.workspace.folder / "server" / "lock", busy))
        self.store = JobStore(self.workspace.folder / "jobs.sqlite")
        self.index.open()
        self._library = open_library(self.workspace.folder)
        self.marks, self.conversations = Marks(self._library), Conversations(self.workspace, self._library)
        self._wakes: dict[Lane, asyncio.Event] = {lane: asyncio.Event() for lane in SLOTS}
        for job in self.store.requeue_running():
            if job.notes.get("cancel"):
                job = self.store.end(job.id, "cancelled")
            self._publish(job)
        await asyncio.to_thread(remove_old_exports, self)
        self._is_stopping = False
        self._lanes = [asyncio.create_task(self._run_lane(lane, num_slots)) for lane, num_slots in SLOTS.items()]

    async def stop(self) -> None:
        """Stop what runs; it is queued again, and continues when the next server starts."""
        self._is_stopping = True
        for lane in self._lanes:
            lane.cancel()
        for id in list(self._tasks):
            self._ask_to_stop(id)
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=STOP_SECONDS)
        self._processes.kill_all()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=5.0)
        for worker in (self.worker, self.slow_worker, self.forecaster, self.speaker, self.listener):
            await worker.stop()
        self.index.close()
        self._library.close()
        self.store.close()
        self._lock.close()

    # What routes call, from any thread

    def add(self, kind: str, params: Mapping[str, Any], user: User, title: str = "") -> Job:
        """Queue a job; raise GenloomError for parameters that could not work."""
        user.check_scope(get_scope(kind))
        named = resolve_prompts(self.workspace, kind, parse_params(kind, dict(params)))
        if kind in _CHECKS:
            _CHECKS[kind](named)
        checked = resolve_names(self, kind, named, user)
        if self.store.count("queued") >= MAX_QUEUED:
            raise APIError("studio.queue_full", status=503, headers={"retry-after": "30"}, limit=MAX_QUEUED)
        job = self.store.add(kind, get_lane(kind), user.id, title or build_title(kind, checked), checked)
        self._publish(job)
        self._wake()
        return job

    def get(self, id: str, user: User) -> Job:
        job = self.store.get(id)
        if job is None or not user.owns(job.owner):
            raise build_unknown_id_error("job", id)
        return job

    def _get_to_change(self, id: str, user: User) -> Job:
        """Return a job that a user may change, as they may queue one of its kind."""
        job = self.get(id, user)
        user.check_scope(get_scope(job.kind))
        return job

    def to_json(self, job: Job, *, is_brief: bool = False) -> dict[str, Any]:
        """Return the job as `/api` shows it."""
        place = None
        if job.state == "queued":
            ids = [each.id for each in self.store.list_queued()]
            place = ids.index(job.id) + 1 if job.id in ids else None
        return job.to_json(place, is_brief=is_brief)

    def cancel(self, id: str, user: User) -> Job:
        """Cancel a job; one that runs saves what it can first."""
        job = self._get_to_change(id, user)
        if job.state == "queued":
            job = self.store.end(id, "cancelled")
            self._publish(job)
        elif job.state == "running":
            job = self.store.write_notes(id, {"cancel": True})
            self._loop.call_soon_threadsafe(self._cancel_running, id)
        return job

    def retry(self, id: str, user: User) -> Job:
        """Queue a job again that failed or was cancelled; a training continues at its last checkpoint."""
        job = self._get_to_change(id, user)
        if job.state not in ("failed", "cancelled"):
            raise APIError("studio.not_ended", status=409, id=id, state=job.state)
        self.store.write_notes(id, {"cancel": False})
        self.store.reset_attempts(id, is_continued=job.state == "failed")
        job = self.store.requeue(id)
        self._publish(job)
        self._wake()
        return job

    def move(self, id: str, before: str | None, user: User) -> Job:
        """Move a queued job before another one, or to the end; others' jobs stay."""
        self._get_to_change(id, user)
        if before is not None:
            self.get(before, user)
        job = self.store.move(id, before)
        self._publish(job, "moved")
        return job

    def set_paused(self, is_paused: bool) -> dict[str, Any]:
        self.store.set_paused(is_paused)
        queue = self.describe_queue()
        self.events.publish("queue.changed", queue)
        self._wake()
        return queue

    def describe_queue(self) -> dict[str, Any]:
        return {
            "paused": self.store.is_paused,
            "running": self.store.count("running"),
            "queued": self.store.count("queued"),
        }

    async def wait(self, id: str) -> Job:
        """Wait for the end of a job."""
        after = self.events.last
        if not (job := self.store.require(id)).is_ended:
            async with contextlib.aclosing(self.events.follow(self.local_user, after)) as following:
                async for _ in following:
                    if (job := self.store.require(id)).is_ended:
                        break
        return job

    # What handlers call

    def is_cancelling(self, id: str) -> bool:
        return id in self._cancelling or self._is_stopping

    def report(self, job: Job, progress: Mapping[str, Any]) -> None:
        """Store and tell the progress of a job."""
        self.store.write_progress(job.id, progress)
        data = {"id": job.id, "kind": job.kind, "progress": progress}
        self.events.publish("job.progress", data, job.owner)

    def tell_text(self, job: Job, row: int, start: int, text: str) -> None:
        """Tell the next piece of the text of an output, and where it begins, in units of UTF-16."""
        data = {"id": job.id, "row": row, "start": start, "text": text}
        self.events.publish("job.text", data, job.owner)

    # Running

    async def _run_lane(self, lane: Lane, num_slots: int) -> None:
        slots, wake = asyncio.Semaphore(num_slots), self._wakes[lane]
        while True:
            await slots.acquire()
            while True:
                wake.clear()
                # Answers to questions do not wait for a queue that was paused to get other work done.
                kinds = ["chat"] if lane != "light" and await asyncio.to_thread(lambda: self.store.is_paused) else []
                if lane == "engine" or not kinds:
                    job = await asyncio.to_thread(self.store.claim, lane, kinds)
                    if job is not None:
                        break
                await wake.wait()
            task = asyncio.create_task(self._run(job))
            self._tasks[job.id] = task
            task.add_done_callback(lambda _, id=job.id: (self._tasks.pop(id, None), slots.release()))

    async def _run(self, job: Job) -> None:
        self._publish(job)
        outcome: dict[str, Any]
        self._cancelling.discard(job.id)  # of an earlier attempt
        if self.store.require(job.id).notes.get("cancel"):
            self._cancelling.add(job.id)
        try:
            if self.is_cancelling(job.id):
                raise JobCancelled
            run = self._handlers[job.kind] if job.lane == "engine" else self._processes.run
            outcome = {"state": "succeeded", "result": await run(job)}
        except JobCancelled:
            outcome = {"state": "cancelled"}
        except ProcessDied:
            if job.attempts < MAX_ATTEMPTS or self._is_stopping:
                outcome = {}
            else:
                message = format_message("studio.job_died", attempts=job.attempts)
                outcome = {"state": "failed", "error": {"message": message, "code": "studio.job_died"}}
        except GenloomError as error:
            outcome = {"state": "failed", "error": {"message": hide_paths(error), "code": error.code}}
        except Exception:
            _logger.exception("the job %s failed", job.id)
            message = format_message("studio.job_failed")
            outcome = {"state": "failed", "error": {"message": message, "code": "studio.job_failed"}}
        was_asked = bool(self.store.require(job.id).notes.get("cancel"))
        if outcome.get("state") == "cancelled" and self._is_stopping and not was_asked:
            outcome = {}
        if not outcome and was_asked:
            outcome = {"state": "cancelled"}
        self._cancelling.discard(job.id)
        self.requests.pop(job.id, None)
        if outcome:
            ended = self.store.end(job.id, **outcome)
            self._publish(ended)
            self._publish_result(ended)
            await asyncio.to_thread(self._remove_uploads, ended)
        else:
            self._publish(self.store.requeue(job.id, is_first=True))
            self._wake()

    def _cancel_running(self, id: str) -> None:
        self._cancelling.add(id)
        if id in self._tasks:  # else it begins a moment later, and reads in its notes that it should not
            self._ask_to_stop(id)

    def _ask_to_stop(self, id: str) -> None:
        """Ask a running job to save what it has; one that begins a moment later looks at `is_cancelling`."""
        if id in self.requests:
            self.engine.cancel(self.requests[id])
        self._processes.ask_to_stop(id)

    # Telling

    def _publish(self, job: Job, act: str = "") -> None:
        self.events.publish(f"job.{act or job.state}", {"job": self.to_json(job, is_brief=True)}, job.owner)

    def _publish_result(self, job: Job) -> None:
        result = job.result or {}
        match job.kind:
            case "collect" if result:
                self.events.publish("dataset.created", {"name": result["dataset"]})
            case "knowledge" if result:
                self.events.publish("knowledge.changed", {"name": result["knowledge"]}, job.owner)
            case "train" | "import" if result:
                self.events.publish("model.created", {"ref": result["model"]})
            case "learn" | "forget" if result:
                ref = result.get("challenger") or result.get("new_version")
                self.events.publish("model.created", {"ref": ref})
                name = str(job.params["model"]).partition("/")[0]
                self.events.publish("model.promoted", {"name": name, "active": self.workspace.model(name).ref})

    def _remove_uploads(self, job: Job) -> None:
        """Remove the files that a job took over; those of one that failed stay, so that it can be tried again."""
        if job.state != "succeeded" or job.kind not in _TAKES_UPLOADS:
            return
        for name in ("upload", "consent"):
            if upload := job.params.get(name):
                with contextlib.suppress(GenloomError):  # another job has taken it
                    self.uploads.remove(upload, self.local_user)

    def _wake(self) -> None:
        for event in self._wakes.values():
            self._loop.call_soon_threadsafe(event.set)

    def get_rater(self, user: User) -> str:
        """Return the name that a user's ratings are recorded under."""
        return user.name or self.workspace.get_rater()

    def check_output(self, id: str, user: User) -> Output:
        """Return an output; 404 for an unknown one or another's."""
        try:
            output = self.workspace.output(id) if is_timed_id(id) else None
        except GenloomError:
            output = None
        if output is None or not user.owns(str(output.record.get("owner") or LOCAL_USER_ID)):
            raise build_unknown_id_error("output", id)
        return output
