"""The receipt of a round, put together from what the round has found."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import psutil

from genloom import plugins
from genloom.learn.measures import Answers
from genloom.model import machine
from genloom.rate import receipt as receipts
from genloom.rate.calibration import Calibration
from genloom.rate.gate import Decision, Measure, decide
from genloom.rate.preferences import Preferences
from genloom.rate.prompts import split
from genloom.rate.ratings import Standing
from genloom.train.events import Finished
from genloom.train.job import Job

SHOWN = 6  # examples in a receipt
CURVES = {
    "agreement": "agreement with the ratings of the step",
    "value": "value of the step's opinions",
    "earned": "what the attempts of the step earned",
}  # by the metric of a step


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
    baseline: tuple[Measure, ...] = ()  # what the champion gains without learning


def receipt(told: Told, log: Sequence[Mapping[str, Any]], judge: Calibration | None) -> receipts.Receipt:
    """The receipt, with the gate's decision on the measures. `log` is the run's, `judge` the reward model's worth."""
    rows = [(row, row["metrics"]) for row in log if "losses" in row]
    return receipts.Receipt(
        told.job.name,
        told.champion,
        told.finished.ref,
        datetime.now(UTC).isoformat(timespec="seconds"),
        ratings(told.prefs, told.stands),
        method(told),
        decide(told.measures),
        receipts.Cost(dict(told.seconds), told.job.plan.steps, psutil.Process().memory_info().rss, where()),
        judge,
        tuple(
            receipts.Point(
                row["step"], sum(row["losses"].values()), next((said[name] for name in CURVES if name in said), 0.0)
            )
            for row, said in rows
        ),
        examples(told),
        baseline=told.baseline,
        curve_of=next((told for name, told in CURVES.items() if any(name in said for _, said in rows)), ""),
    )


def unlearned(
    champion: str,
    prefs: Preferences,
    stands: Standing,
    baseline: tuple[Measure, ...],
    judge: Calibration,
    seconds: Mapping[str, float],
) -> receipts.Receipt:
    """The receipt of a round in which nothing was learned: the champion is set against a choice of its own answers."""
    why = ("Nothing was learned: this says what the reward model gains by choosing among answers.",)
    return receipts.Receipt(
        champion.partition("/")[0],
        champion,
        champion,
        datetime.now(UTC).isoformat(timespec="seconds"),
        ratings(prefs, stands),
        {"method": "none"},
        Decision(False, why, (), ()),
        receipts.Cost(dict(seconds), 0, psutil.Process().memory_info().rss, where()),
        judge,
        baseline=baseline,
    )


def where() -> str:
    facts = machine()
    return f"{facts['threads']} threads, {facts['processor']} {facts['cpu']}, torch {facts['torch']}"


def examples(told: Told) -> tuple[receipts.Example, ...]:
    answers = zip(told.answers.asked, told.answers.champion, told.answers.challenger, strict=True)
    marks = told.preferred or ("",) * len(told.answers.asked)
    medium = plugins.find("medium", told.job.design.medium)
    return tuple(
        example(medium, asked.prompt, one, two, mark)
        for (asked, one, two), mark in islice(zip(answers, marks, strict=True), SHOWN)
    )


def example(medium: Any, prompt: str, one: Any, two: Any, preferred: str) -> receipts.Example:
    """Texts as they are; of other things what the medium packs, shown where that is a picture."""
    if isinstance(one, str):
        return receipts.Example(prompt, one, two, preferred)
    pictures = tuple(base64.b64encode(medium.pack(value)).decode() for value in (one, two))
    return receipts.Example(prompt, "", "", preferred, pictures)


def ratings(prefs: Preferences, stands: Standing) -> receipts.Ratings:
    every = (*prefs.pairs, *prefs.opinions)
    held = [each for each in every if split(each.prompt) == "val"]
    return receipts.Ratings(
        total=len(stands.ratings) + len(stands.choices),
        pairs=len(prefs.pairs),
        opinions=len(prefs.opinions),
        prompts=len({each.prompt for each in every}),
        held_out=len(held),
        held_out_prompts=len({each.prompt for each in held}),
        contradictions=len(prefs.contradictions),
        withdrawn=len(stands.withdrawn),
        raters=dict(prefs.raters),
        unused=dict(prefs.unused),
    )


def method(told: Told) -> dict[str, str | int | float | bool]:
    """How it learned, and two numbers that are neither good nor bad."""
    said = (told.answers.champion, told.answers.challenger)
    one, two = ([len(answer.split()) for answer in answers if isinstance(answer, str)] for answers in said)
    return {
        **{key: ", ".join(value) if isinstance(value, list) else value for key, value in told.job.learning.items()},
        "learns": "an adapter" if told.job.adapter else "all weights",
        "precision": told.job.plan.precision,
        "seed": told.job.plan.seed,
        "earlier challengers of this champion": told.earlier,
        **({"words an answer": f"{np.mean(one):.1f} → {np.mean(two):.1f}"} if one and two else {}),
        **({"judge of the answers": f"{told.judge} (a machine)"} if told.judge else {}),
    }
