"""The benchmark battery of evaluate and compare: a table of accuracies with intervals, beside the chance level."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genloom.cli.console import Console
from genloom.errors import GenloomError
from genloom.evaluate.text.battery.continuation_scorer import build_scorer
from genloom.evaluate.text.battery.score import TASKS, AnswerFn, Score, ScoreComparison, compare_scores, score_task
from genloom.generate import engine
from genloom.generate.text.conversation import build_chat_batch, get_chat_codec
from genloom.metrics.statistics import IntervalEstimate
from genloom.model import Model
from genloom.store.files import write_atomic
from genloom.text_format import format_table
from genloom.types import Message

ALL_TASKS = ",".join(TASKS)
_MAX_ANSWER_TOKENS = 96  # the instructions ask for short answers


def parse_tasks(tasks: str) -> tuple[str, ...]:
    """Return the tasks of a comma-separated list; raise for an unknown one."""
    task_names = tuple(task.strip() for task in tasks.split(",") if task.strip())
    unknown_tasks = [task for task in task_names if task not in TASKS]
    if unknown_tasks or not task_names:
        raise GenloomError(
            "cli.unknown_task", value=tasks, unknown=", ".join(unknown_tasks) or '""', known=", ".join(TASKS)
        )
    return task_names


def evaluate_battery(model: Model, tasks: Sequence[str], limit: int, path: Path, console: Console) -> None:
    """Measure the tasks, print the table and write the report to `path`."""
    task_scores = measure_tasks(model, tasks, limit, console)
    report = {"model": model.ref, "battery": [score.to_report() for score in task_scores]}
    write_atomic(path, json.dumps(report, indent=1, ensure_ascii=False))
    header = ("task", "measure", "accuracy", "95 % interval", "items", "chance")
    rows = [
        (
            s.task,
            s.metric,
            format_percent(s.accuracy.mean),
            format_interval(s.accuracy),
            str(s.accuracy.count),
            format_percent(s.chance_accuracy),
        )
        for s in task_scores
    ]
    for line in format_table([header, *rows]):
        console.print_line(line)
    console.print_line(f"Report in {path}")
    console.print_result({**report, "file": str(path)})


def compare_battery(first: Model, second: Model, tasks: Sequence[str], limit: int, console: Console) -> None:
    """Measure both models and print the paired differences of their accuracies."""
    print_gaps(
        compare_scores(*(measure_tasks(model, tasks, limit, console) for model in (first, second))),
        first,
        second,
        console,
    )


def print_gaps(task_gaps: Sequence[ScoreComparison], first: Model, second: Model, console: Console) -> None:
    """Print how much more accurate the second model is than the first."""
    header = ("task", "measure", first.ref, second.ref, "difference", "95 % interval", "verdict")
    for line in format_table([header, *map(_format_gap_row, task_gaps)]):
        console.print_line(line)
    console.print_result(
        {"first": first.ref, "second": second.ref, "battery": [_build_gap_report(gap) for gap in task_gaps]}
    )


def measure_tasks(model: Model, tasks: Sequence[str], limit: int, console: Console) -> list[Score]:
    """Return the scores of the tasks; instructions are skipped, with a note, if the model cannot chat."""
    read, answer, task_scores = build_scorer(model), build_answer_fn(model), []
    for task in tasks:
        if task == "instructions" and answer is None:
            console.print_note(f"{model.ref} has no chat template; the task instructions is skipped")
            continue
        console.print_note(f"{model.ref}: {task}")
        task_scores += score_task(task, read, answer, limit)
    return task_scores


def build_answer_fn(model: Model) -> AnswerFn | None:
    """Return a function that answers each question greedily in its own conversation; None if the model cannot chat."""
    try:
        get_chat_codec(model)
    except ValueError:
        return None

    def answer(prompts: Sequence[str]) -> list[str]:
        request, _ = build_chat_batch(
            model,
            [[Message("user", prompt)] for prompt in prompts],
            0,
            {"temperature": 0.0, "max_tokens": _MAX_ANSWER_TOKENS},
        )
        return [
            text for batch in engine.split_batches(request) for text in engine.run_request(model, batch).continuations
        ]

    return answer


def _format_gap_row(gap: ScoreComparison) -> tuple[str, ...]:
    means = (format_percent(gap.first.accuracy.mean), format_percent(gap.second.accuracy.mean))
    difference = (f"{100 * gap.difference.mean:+.1f} %", format_interval(gap.difference))
    return (gap.first.task, gap.first.metric, *means, *difference, gap.verdict)


def _build_gap_report(gap: ScoreComparison) -> dict[str, Any]:
    difference = {"mean": gap.difference.mean, "low": gap.difference.low, "high": gap.difference.high}
    return {
        "first": gap.first.to_report(),
        "second": gap.second.to_report(),
        "difference": difference,
        "verdict": gap.verdict,
    }


def format_percent(share: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * share:.1f} %"


def format_interval(estimate: IntervalEstimate) -> str:
    """Return the bounds of a share in percent."""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
