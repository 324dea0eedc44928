"""Shapes of jobs, the queue and events."""

from typing import Any

from pydantic import Field

from genloom.server.studio.shapes.field_types import JobKind, JobState
from genloom.server.studio.shapes.shape import Body, Problem, Shape


class NewJob(Body):
    kind: JobKind
    params: dict[str, Any] = Field(default_factory=dict)


class Progress(Shape):
    """How far a job is; what is unknown is null."""

    share: float | None = None  # 0 to 1
    stage: str = ""  # what it does now, one sentence
    step: int | None = None
    steps: int | None = None
    seconds_left: float | None = None
    note: str = ""
    text: str | None = None  # of a text that is being generated
    preview: str | None = None  # data URL of a picture that is being generated


class Job(Shape):
    id: str
    kind: JobKind
    title: str
    state: JobState
    owner: str
    params: dict[str, Any]
    position: int | None = None  # in the queue, from 1; null unless queued
    created: str
    started: str | None = None
    finished: str | None = None
    attempts: int = 0
    progress: Progress = Progress()
    result: dict[str, Any] | None = None
    error: Problem | None = None
    can_cancel: bool = False
    can_retry: bool = False
    can_resume: bool = False  # retry continues where it stopped


class LogPoint(Shape):
    step: int
    seconds: float | None = None
    losses: dict[str, float] = Field(default_factory=dict)
    measured: dict[str, float] = Field(default_factory=dict)  # on held-out data


class LogSample(Shape):
    step: int | None = None
    text: str | None = None
    output: str | None = None


class JobLog(Shape):
    """The reports of a job; `next` is the `after` of the next request."""

    points: list[LogPoint]
    samples: list[LogSample]
    notes: list[str]
    estimate: dict[str, Any] | None = None
    next: int


class Move(Body):
    before: str | None = None  # the id of a queued job; null: to the end


class QueueChange(Body):
    paused: bool


class Queue(Shape):
    paused: bool
    running: int
    queued: int


class Event(Shape):
    """Something happened. Ids rise; one that is missing in between was another owner's.

    `type` is KIND.ACT: job.queued, job.running, job.progress, job.text, job.succeeded, job.failed, job.cancelled,
    job.moved, output.created, output.removed, output.restored, output.changed, rating.created, rating.withdrawn,
    model.created, model.promoted, model.removed, model.restored, dataset.created …,
    conversation.changed, queue.changed;
    and `reset`: events were missed, read everything again.
    """

    id: int
    type: str
    at: str
    data: dict[str, Any]
