"""The order of the engine's work: every text gets a token in each round, and other media as much time as the texts."""

import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from genloom.api.workspace import Workspace
from genloom.codecs.chat_template import render_chat, require_chat_template
from genloom.errors import GenloomError
from genloom.generate import engine
from genloom.generate.continuous_batching import ContinuousBatch, can_batch
from genloom.generate.selection import build_selection
from genloom.generate.text import conversation
from genloom.server.engine import computations, tasks
from genloom.server.engine.building import describe_model, merge_unknown_roles
from genloom.server.engine.choosing import ChoiceTask
from genloom.server.engine.loading import Key, LoadedModel, ModelShelf
from genloom.server.engine.messages import EngineEvent, Finished, pack_error, pack_event, unpack_request
from genloom.types import Message

MAX_ROWS = 32  # texts that are written at a time, of one model
MAX_CACHED_TOKENS = 131_072  # of all texts of a model, with the tokens that they may still get
EMBEDDING_PRECISION = "float32"  # the only one in which hidden states are at hand
WORD_ENCODER = "minilm"

Request = Mapping[str, Any]
SendTable = Callable[[dict[str, Any]], None]


@dataclass(eq=False)
class EngineJob:
    """A message from the server in work."""

    id: str
    message: Request
    key: Key | None = None
    loaded: LoadedModel | None = None
    task: tasks.Task | None = None


class Scheduler:
    """All requests of the engine: those that wait for their model, and those in work."""

    def __init__(self, workspace: Workspace, send: SendTable, notify: Callable[[], None]):
        self.workspace, self.send = workspace, send
        self.shelf = ModelShelf(workspace.store, notify)
        self.waiting: deque[EngineJob] = deque()
        self.text_jobs: list[EngineJob] = []
        self.other_jobs: deque[EngineJob] = deque()
        self.writer_thread = ThreadPoolExecutor(1, "genloom-writing")
        self.search_thread = ThreadPoolExecutor(1, "genloom-copies")  # which takes seconds at its first search
        self.num_steps = 0
        self.resume_others_at = 0.0  # by the clock, so that texts get as much time as the others
        self.should_admit = False  # a request has left, so that there may be room for another
        self.sent_state: dict[str, Any] = {}

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything: a request that waits for a model that is being loaded does not count."""
        return bool(self.text_jobs or self.other_jobs)

    def receive(self, message: Request) -> None:
        """Take a message of the server."""
        match message["kind"]:
            case "cancel":
                self.cancel(str(message["id"]))
            case "wake":
                pass
            case _:
                self.waiting.append(EngineJob(str(message["id"]), message))
        self.admit()

    def cancel(self, id: str) -> None:
        for job in [*self.waiting, *self.text_jobs, *self.other_jobs]:
            if job.id != id:
                continue
            if job.task is not None:
                job.task.cancel()
            else:
                self._send_event(job, Finished(0, 0, 0))
            self._remove(job)

    def admit(self) -> None:
        """Begin the work on the requests whose models are loaded, in the order they came."""
        self.should_admit = False
        for job in list(self.waiting):
            self._guard(job, self._admit)
        self._send_state()

    def _admit(self, job: EngineJob) -> None:
        message, kind = job.message, job.message["kind"]
        if kind == "embed" and message["model"] == WORD_ENCODER:
            self._begin(
                job, tasks.ShortTask(computations.iter_word_embeddings(message["texts"]), self._send_result(job))
            )
            return
        if job.key is None:
            precision = EMBEDDING_PRECISION if kind == "embed" else message.get("precision", "auto")
            job.key = self.shelf.resolve(message["model"], tuple(message.get("adapters", ())), precision)
        job.loaded = self.shelf.take(job.key)
        if job.loaded is None:
            return
        model = job.loaded.model
        match kind:
            case "generate":
                self._begin(job, self._build_task(job, job.loaded))
            case "score":
                work = computations.iter_score_result(self._build_writer(job, job.loaded))
                self._begin(job, tasks.ShortTask(work, self._send_result(job)))
            case "embed":
                self._begin(
                    job,
                    tasks.ShortTask(computations.iter_embeddings(job.loaded, message["texts"]), self._send_result(job)),
                )
            case "store_answers":
                work = computations.iter_stored_answers(self.workspace, job.loaded, message)
                self._begin(job, tasks.ShortTask(work, self._send_result(job)))
            case "describe":
                self._send_result(job)(describe_model(self.workspace, model))
                self._remove(job)
            case "count":
                self._send_result(job)({"num_tokens": count_tokens(job.loaded, message)})
                self._remove(job)
            case _:
                raise AssertionError(kind)

    def _build_writer(self, job: EngineJob, loaded: LoadedModel) -> tasks.OutputWriter:
        request = unpack_request({name: value for name, value in job.message.items() if name != "kind"})
        return tasks.build(
            *(self.workspace, loaded, request),
            lambda event: self._send_event(job, event),
            lambda work: self._write_later(job, work),
        )

    def _build_task(self, job: EngineJob, loaded: LoadedModel) -> tasks.Task:
        writer = self._build_writer(job, loaded)
        request = writer.request
        if not can_batch(loaded.model, writer.built.request):
            if request.num_logprobs is not None:
                raise GenloomError("server.no_logprobs", model=loaded.model.ref)
            selection = build_selection(loaded.model, writer.built.request)
            return tasks.ValueTask(writer) if selection is None else ChoiceTask(writer, selection)
        if loaded.batch is None:
            loaded.batch = ContinuousBatch(loaded.model)
        batch = loaded.batch

        def has_room(num_tokens: int) -> bool:
            if not batch.sequences:
                return True
            num_cached = sum(each.max_length for each in batch.sequences)
            return len(batch.sequences) < MAX_ROWS and num_cached + num_tokens <= MAX_CACHED_TOKENS

        return tasks.TextTask(writer, batch, has_room)

    def _begin(self, job: EngineJob, task: tasks.Task) -> None:
        job.task = task
        self.waiting.remove(job)
        (self.text_jobs if isinstance(task, tasks.TextTask) else self.other_jobs).append(job)

    def step(self) -> None:
        """Let the texts write one token each, then the first of the other requests do one step.

        While texts are written, the others get half of the time.
        """
        self.num_steps += 1
        self._step_texts()
        started_at = time.monotonic()
        if self.other_jobs and (not self.text_jobs or started_at >= self.resume_others_at):
            self._guard(self.other_jobs[0], self._step_job)
            self.resume_others_at = 2 * time.monotonic() - started_at
        if self.should_admit and self.waiting:
            self.admit()

    def _step_texts(self) -> None:
        for job in list(self.text_jobs):
            self._guard(job, self._step_job)
        owners = {
            sequence: job
            for job in self.text_jobs
            if isinstance(job.task, tasks.TextTask)
            for sequence in job.task.choices
        }
        for batch in dict.fromkeys(job.loaded.batch for job in self.text_jobs if job.loaded is not None):
            assert batch is not None
            try:
                changed = batch.step()
            except Exception as error:
                for job in {job for sequence, job in owners.items() if sequence in batch.sequences}:
                    self._fail(job, error)
                continue
            for sequence in changed:
                if (job := owners[sequence]) in self.text_jobs:
                    self._guard(job, lambda job, sequence=sequence: self._show(job, sequence))

    def _show(self, job: EngineJob, sequence: Any) -> None:
        assert isinstance(job.task, tasks.TextTask)
        if job.task.show(sequence):
            self._remove(job)

    def _step_job(self, job: EngineJob) -> None:
        assert job.task is not None
        if job.task.step():
            self._remove(job)

    def _guard(self, job: EngineJob, work: Callable[[EngineJob], None]) -> None:
        """Do a piece of work on a request; an error ends only this request."""
        try:
            work(job)
        except Exception as error:
            self._fail(job, error)

    def _fail(self, job: EngineJob, error: Exception) -> None:
        self.send({"id": job.id, **describe_error(error, job.message)})
        if job.task is not None:
            try:
                job.task.cancel()
            except Exception:
                traceback.print_exc()
        self._remove(job)

    def _remove(self, job: EngineJob) -> None:
        for jobs in (self.waiting, self.text_jobs, self.other_jobs):
            if job in jobs:
                jobs.remove(job)
        if job.loaded is not None:
            self.shelf.give_back(job.loaded)
            job.loaded = None
        self.should_admit = True
        self._send_state()

    def _send_event(self, job: EngineJob, event: EngineEvent) -> None:
        self.send({"id": job.id, **pack_event(event)})

    def _send_result(self, job: EngineJob) -> Callable[[Any], None]:
        return lambda result: self.send({"id": job.id, "event": "result", "result": result})

    def _write_later(self, job: EngineJob, work: Callable[[], None]) -> None:
        def write() -> None:
            try:
                work()
            except Exception as error:
                self.send({"id": job.id, **describe_error(error, job.message)})

        (self.search_thread if job.message.get("refuse_copies") else self.writer_thread).submit(write)

    def _send_state(self) -> None:
        """Tell the server what is loaded and in work, if that has changed."""
        state = {
            "event": "state",
            "id": "",
            "models": [each.describe() for each in self.shelf.models.values()],
            "active": len(self.text_jobs) + len(self.other_jobs),
            "waiting": len(self.waiting),
        }
        if state != self.sent_state:
            self.sent_state = state
            self.send({**state, "steps": self.num_steps})


def count_tokens(loaded: LoadedModel, message: Request) -> int:
    """Return how many tokens a text has, or a conversation with the beginning of its answer."""
    if "text" in message:
        return len(engine.encode_prefix(loaded.model, message["text"]))
    codec = conversation.get_chat_codec(loaded.model)
    messages = [Message(**each) for each in message["messages"]]
    messages = merge_unknown_roles(messages, require_chat_template(codec).prefixes)
    return len(render_chat(codec, messages, add_generation_prompt=True)[0])


def describe_error(error: Exception, message: Request) -> dict[str, Any]:
    """Return an error for the server; a bug of ours is also written to the log."""
    if isinstance(error, RuntimeError) and "memory" in str(error):
        error = GenloomError("generate.out_of_memory", count=len(message.get("prompts", "")) * message.get("n", 1))
    if not isinstance(error, GenloomError):
        traceback.print_exception(error)
        error = GenloomError("server.engine_fault")
    return pack_error(error)
