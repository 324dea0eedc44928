"""The progress of a job's work, told to the server at most four times a second."""

import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from math import isfinite
from typing import Any

from genloom.server.jobs.outcomes import JobCancelled
from genloom.server.jobs.reporter import Reporter

_SECONDS_BETWEEN_MESSAGES = 0.25


class Rate:
    """Lets through one message in a quarter of a second."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _SECONDS_BETWEEN_MESSAGES
        return True


def check_cancelled(reporter: Reporter) -> None:
    if reporter.cancelled.is_set():
        raise JobCancelled


def report_training(events: Generator[Any], reporter: Reporter, title: str) -> Any:
    """Report the events of a training or a round, and return the last one.

    Closing the events saves a checkpoint, so that the job continues there when it is tried again.
    """
    from genloom.api.progress import format_measurement, format_step, smooth_losses
    from genloom.train.events import (
        EvalMetrics,
        RunEstimate,
        RunStart,
        RunWarning,
        Status,
        StepMetrics,
        TextSample,
    )

    rate, losses, eval_note, last = Rate(), {}, "", None
    with closing(events):
        for last in events:
            match last:
                case RunStart(run):
                    reporter.remember(run=run)
                case Status(text):
                    reporter.progress(stage=text)
                    reporter.note(text)
                case RunWarning(text):
                    reporter.note(text)
                case RunEstimate():
                    reporter.send("estimate", estimate=last.to_record())
                case TextSample(step, text):
                    reporter.send("sample", sample={"step": step, "text": text})
                case EvalMetrics(step, metric):
                    eval_note = f", {format_measurement(metric)}"
                    reporter.send("point", point={"step": step, "measured": {metric.name: metric.value}})
                case StepMetrics():
                    losses = smooth_losses(losses, last.losses)
                    if rate.is_due() or last.step == last.steps:
                        finite = {name: value for name, value in last.losses.items() if isfinite(value)}
                        reporter.send("point", point={"step": last.step, "seconds": last.seconds, "losses": finite})
                        reporter.progress(
                            share=last.step / last.steps,
                            stage=title,
                            step=last.step,
                            steps=last.steps,
                            seconds_left=last.seconds_left,
                            note=format_step(last, losses, eval_note),
                        )
            check_cancelled(reporter)
    return last


def report_share(reporter: Reporter, title: str) -> Callable[[float, str], None]:
    """Return a function that reports the share done and the next step."""
    rate = Rate()

    def report(share: float, note: str = "") -> None:
        check_cancelled(reporter)
        if rate.is_due() or share >= 1:
            reporter.progress(share=share, stage=title, note=note)

    return report


class EvaluationProgress:
    """The progress of an evaluation, told to the server."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def print_note(self, line: str) -> None:
        check_cancelled(self._reporter)
        self._reporter.note(line)

    @contextmanager
    def show_progress(self, title: str, total: float) -> Generator[Any]:
        report = report_share(self._reporter, title)

        class Bar:
            def update(self, done: float, note: str = "") -> None:
                report(done / total if total else 1.0, note)

        yield Bar()
