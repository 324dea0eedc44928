"""The battery as evaluate and compare show it: a table of accuracies with intervals, beside what guessing reaches."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genloom.cli.screen import Screen, table
from genloom.evaluate.battery.reader import reader
from genloom.evaluate.battery.score import TASKS, Answer, Gap, Score, gaps, scores
from genloom.evaluate.likelihood import Estimate
from genloom.generate import engine
from genloom.generate.conversation import questions, speaking
from genloom.model import Model
from genloom.store.files import write_atomic
from genloom.types import Message

_ANSWER = 96  # symbols of an answer at most; what is asked for is short


def chosen(tasks: str) -> tuple[str, ...]:
    """The tasks in a list with commas between; ValueError names one that is none."""
    wanted = tuple(task.strip() for task in tasks.split(",") if task.strip())
    unknown = [task for task in wanted if task not in TASKS]
    if unknown or not wanted:
        raise ValueError(
            f"--tasks {tasks}: there is no task {', '.join(unknown) or 'in it'}. Choose {', '.join(TASKS)}."
        )
    return wanted


def evaluate_battery(model: Model, tasks: Sequence[str], items: int, path: Path, screen: Screen) -> None:
    """Measure, show the table, leave the report at `path`."""
    found = measured(model, tasks, items, screen)
    report = {"model": model.ref, "battery": [score.report() for score in found]}
    write_atomic(path, json.dumps(report, indent=1, ensure_ascii=False))
    head = ("task", "measure", "right", "95 % interval", "items", "guessing")
    rows = [
        (s.task, s.measure, percent(s.accuracy.mean), interval(s.accuracy), str(s.accuracy.count), percent(s.chance))
        for s in found
    ]
    for line in table([head, *rows]):
        screen.say(line)
    screen.say(f"Report in {path}")
    screen.result({**report, "file": str(path)})


def compare_battery(first: Model, second: Model, tasks: Sequence[str], items: int, screen: Screen) -> None:
    """Measure both and show what the second gets right more than the first, item by item."""
    show_gaps(gaps(*(measured(model, tasks, items, screen) for model in (first, second))), first, second, screen)


def show_gaps(found: Sequence[Gap], first: Model, second: Model, screen: Screen) -> None:
    """The table of what the second gets right more than the first."""
    head = ("task", "measure", first.ref, second.ref, "difference", "95 % interval", "verdict")
    for line in table([head, *map(_gap_row, found)]):
        screen.say(line)
    screen.result({"first": first.ref, "second": second.ref, "battery": [_gap_report(gap) for gap in found]})


def measured(model: Model, tasks: Sequence[str], items: int, screen: Screen) -> list[Score]:
    """The scores of every task, in turn; instructions are left out where the model cannot chat, which is told."""
    read, answer, found = reader(model), answers(model), []
    for task in tasks:
        if task == "instructions" and answer is None:
            screen.note(f"{model.ref} knows no roles, so it is given no instructions")
            continue
        screen.note(f"{model.ref}: {task}")
        found += scores(task, read, answer, items)
    return found


def answers(model: Model) -> Answer | None:
    """What the model says to each question in a conversation of its own, always the likeliest; None: it cannot chat."""
    try:
        speaking(model)
    except ValueError:
        return None

    def answer(prompts: Sequence[str]) -> list[str]:
        asked, _ = questions(
            model, [[Message("user", prompt)] for prompt in prompts], 0, {"temperature": 0.0, "length": _ANSWER}
        )
        return [text for portion in engine.portions(asked) for text in engine.finished(model, portion).written]

    return answer


def _gap_row(gap: Gap) -> tuple[str, ...]:
    means = (percent(gap.first.accuracy.mean), percent(gap.second.accuracy.mean))
    moved = (f"{100 * gap.difference.mean:+.1f} %", interval(gap.difference))
    return (gap.first.task, gap.first.measure, *means, *moved, gap.verdict)


def _gap_report(gap: Gap) -> dict[str, Any]:
    moved = {"mean": gap.difference.mean, "low": gap.difference.low, "high": gap.difference.high}
    return {"first": gap.first.report(), "second": gap.second.report(), "difference": moved, "verdict": gap.verdict}


def percent(share: float) -> str:
    """A share as the tables show it."""
    return f"{100 * share:.1f} %"


def interval(found: Estimate) -> str:
    """The bounds of a share as the tables show them, in percent."""
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}"
