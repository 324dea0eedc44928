"""The receipt of a round, put together from what the round has found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psutil

from genloom.learn.measures import Answers
from genloom.model import machine
from genloom.rate import receipt as receipts
from genloom.rate.calibration import Calibration
from genloom.rate.gate import Measure, decide
from genloom.rate.preferences import Preferences
from genloom.rate.prompts import split
from genloom.rate.ratings import Standing
from genloom.train.events import Finished
from genloom.train.job import Job

SHOWN = 6  # examples in a receipt


@dataclass(frozen=True)
class Told:
    """What a round has found."""

    prefs: Preferences
    stands: Standing
    finished: Finished
    job: Job
    champion: str
    measures: tuple[Measure, ...]
    answers: Answers
    judge: str  # the machine that judged the answers, or ""
    preferred: tuple[str, ...]  # whose answers it prefers, "champion", "challenger" or ""; () without one
    earlier: int  # challengers that were set against this champion before
    seconds: Mapping[str, float]


def receipt(told: Told, log: Sequence[Mapping[str, Any]], judge: Calibration | None) -> receipts.Receipt:
    """The receipt, with the gate's decision on the measures. `log` is the run's, `judge` the reward model's worth."""
    rows = [(row, row["metrics"]) for row in log if "losses" in row]
    facts = machine()
    where = f"{facts['threads']} threads, {facts['processor']} {facts['cpu']}, torch {facts['torch']}"
    return receipts.Receipt(
        told.job.name,
        told.champion,
        told.finished.ref,
        datetime.now(UTC).isoformat(timespec="seconds"),
        ratings(told),
        method(told),
        decide(told.measures),
        receipts.Cost(dict(told.seconds), told.job.plan.steps, psutil.Process().memory_info().rss, where),
        judge,
        tuple(
            receipts.Point(row["step"], sum(row["losses"].values()), said.get("agreement", said.get("value", 0.0)))
            for row, said in rows
        ),
        examples(told),
    )


def examples(told: Told) -> tuple[receipts.Example, ...]:
    answers = zip(told.answers.asked, told.answers.champion, told.answers.challenger, strict=True)
    marks = told.preferred or ("",) * len(told.answers.asked)
    return tuple(
        receipts.Example(asked.prompt, one, two, mark) for (asked, one, two), mark in zip(answers, marks, strict=True)
    )[:SHOWN]


def ratings(told: Told) -> receipts.Ratings:
    every = (*told.prefs.pairs, *told.prefs.opinions)
    held = [each for each in every if split(each.prompt) == "val"]
    return receipts.Ratings(
        total=len(told.stands.ratings) + len(told.stands.choices),
        pairs=len(told.prefs.pairs),
        opinions=len(told.prefs.opinions),
        prompts=len({each.prompt for each in every}),
        held_out=len(held),
        held_out_prompts=len({each.prompt for each in held}),
        contradictions=len(told.prefs.contradictions),
        withdrawn=len(told.stands.withdrawn),
        raters=dict(told.prefs.raters),
        unused=dict(told.prefs.unused),
    )


def method(told: Told) -> dict[str, str | int | float | bool]:
    """How it learned, and two numbers that are neither good nor bad."""
    one, two = (
        float(np.mean([len(text.split()) for text in texts]))
        for texts in (told.answers.champion, told.answers.challenger)
    )
    return {
        **told.job.learning,
        "learns": "an adapter" if told.job.adapter else "all weights",
        "precision": told.job.plan.precision,
        "seed": told.job.plan.seed,
        "earlier challengers of this champion": told.earlier,
        "words an answer": f"{one:.1f} → {two:.1f}",
        **({"judge of the answers": f"{told.judge} (a machine)"} if told.judge else {}),
    }
