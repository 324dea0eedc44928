"""The receipt of a round, built from its results."""

import base64
import getpass
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

import numpy as np
import psutil

from genloom import plugins
from genloom.generate.selection import find_withheld_rows
from genloom.learn.comparison import AnswerPairs
from genloom.media.abilities import get_ability
from genloom.model import describe_machine
from genloom.rate.calibration import Calibration
from genloom.rate.gate import Decision, Measure, decide_promotion
from genloom.rate.preferences import Preferences
from genloom.rate.report import receipt as receipts
from genloom.text_format import format_count
from genloom.train.events import RunResult
from genloom.train.job import Job

MAX_EXAMPLES = 6
CURVE_LABELS = {
    "agreement": "agreement with the ratings of the step",
    "value": "value of the step's ratings",
    "reward": "mean reward of the step's rollouts",
}  # by the metric of a step


@dataclass(frozen=True)
class ReceiptInputs:
    """The results of a round."""

    preferences: Preferences
    training: RunResult
    job: Job
    champion: str
    measures: tuple[Measure, ...]
    answers: AnswerPairs
    scorer_name: str  # the scorer of the answers, or ""
    preferred_versions: tuple[str, ...]  # by its scores, "champion", "challenger" or ""; () without a scorer
    num_earlier: int  # earlier challengers of this champion
    seconds: Mapping[str, float]
    baseline: tuple[Measure, ...] = ()  # best-of-n of the champion


def build_receipt(
    inputs: ReceiptInputs, training_log: Sequence[Mapping[str, Any]], calibration: Calibration | None
) -> receipts.Receipt:
    """Build the receipt, with the gate's decision, the steps of the training log and the reward model's calibration."""
    metric_rows = [(row, row["metrics"]) for row in training_log if "losses" in row]
    return receipts.Receipt(
        inputs.job.name,
        inputs.champion,
        inputs.training.ref,
        datetime.now(UTC).isoformat(timespec="seconds"),
        summarize_ratings(inputs.preferences),
        summarize_method(inputs),
        decide_promotion(inputs.measures),
        receipts.Cost(
            dict(inputs.seconds), inputs.job.plan.steps, psutil.Process().memory_info().rss, format_machine()
        ),
        calibration,
        tuple(
            receipts.CurvePoint(
                row["step"],
                sum(row["losses"].values()),
                next((metrics[name] for name in CURVE_LABELS if name in metrics), 0.0),
            )
            for row, metrics in metric_rows
        ),
        build_examples(inputs),
        baseline=inputs.baseline,
        curve_label=next(
            (label for name, label in CURVE_LABELS.items() if any(name in metrics for _, metrics in metric_rows)), ""
        ),
    )


def build_best_of_n_receipt(
    champion: str,
    preferences: Preferences,
    baseline: tuple[Measure, ...],
    calibration: Calibration,
    seconds: Mapping[str, float],
) -> receipts.Receipt:
    """Build the receipt of a round without training: the champion's best-of-n against the champion."""
    reasons = ("No training: the receipt shows what the reward model gains by choosing among answers.",)
    return receipts.Receipt(
        champion.partition("/")[0],
        champion,
        champion,
        datetime.now(UTC).isoformat(timespec="seconds"),
        summarize_ratings(preferences),
        {"method": "none"},
        Decision(False, reasons, (), ()),
        receipts.Cost(dict(seconds), 0, psutil.Process().memory_info().rss, format_machine()),
        calibration,
        baseline=baseline,
    )


def format_machine() -> str:
    machine_info = describe_machine()
    processor = f"{machine_info['processor']} {machine_info['cpu']}"
    return f"{format_count(int(machine_info['threads']), 'thread')}, {processor}, torch {machine_info['torch']}"


def build_examples(inputs: ReceiptInputs) -> tuple[receipts.Example, ...]:
    """Build the first examples; pairs with an answer that the medium withholds are left out."""
    versions = inputs.preferred_versions or ("",) * len(inputs.answers.eval_prompts)
    rows = zip(inputs.answers.eval_prompts, inputs.answers.champion, inputs.answers.challenger, versions, strict=True)
    medium = plugins.find_part("medium", inputs.job.design.medium)
    examples = (
        build_example(medium, eval_prompt.prompt, champion_answer, challenger_answer, version)
        for eval_prompt, champion_answer, challenger_answer, version in rows
        if not find_withheld_rows(medium, (champion_answer, challenger_answer))
    )
    return tuple(islice(examples, MAX_EXAMPLES))


def build_example(
    medium: Any, prompt: str, champion_answer: Any, challenger_answer: Any, preferred_version: str
) -> receipts.Example:
    """Build an example: text as it is, other values as the medium shows them."""
    both = [get_ability(medium, "show")(value) for value in (champion_answer, challenger_answer)]
    if all(shown.mime == "text/plain" for shown in both):
        return receipts.Example(prompt, both[0].text, both[1].text, preferred_version)
    shown = tuple((each.mime, base64.b64encode(each.data).decode()) for each in both)
    return receipts.Example(prompt, "", "", preferred_version, shown)


def summarize_ratings(preferences: Preferences) -> receipts.RatingSummary:
    all_preferences = (*preferences.pairs, *preferences.unpaired)
    held_preferences = [preference for preference in all_preferences if preference.split == "val"]
    return receipts.RatingSummary(
        total=preferences.num_ratings,
        pairs=len(preferences.pairs),
        unpaired=len(preferences.unpaired),
        prompts=len({preference.key for preference in all_preferences}),
        held_out=len(held_preferences),
        held_out_prompts=len({preference.key for preference in held_preferences}),
        contradictions=len(preferences.contradictions),
        withdrawn=preferences.num_withdrawn,
        raters=hide_login_name(preferences.raters),
        unused=dict(preferences.unused),
    )


def hide_login_name(raters: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of raters, with "you" in place of the name of this machine's user: receipts are passed on."""
    try:
        login_name = getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        return dict(raters)
    shown_name = "this machine's user" if "you" in raters else "you"
    return {shown_name if name == login_name else name: weight for name, weight in raters.items()}


def summarize_method(inputs: ReceiptInputs) -> dict[str, str | int | float | bool]:
    """Return the settings of the training, and a few facts about the round."""
    return {
        **{key: ", ".join(value) if isinstance(value, list) else value for key, value in inputs.job.learning.items()},
        "trained": "an adapter" if inputs.job.adapter else "all weights",
        "precision": inputs.job.plan.precision,
        "seed": inputs.job.plan.seed,
        "earlier challengers of this champion": inputs.num_earlier,
        **describe_answers(inputs),
        **({"scorer of the answers": f"{inputs.scorer_name} (a machine)"} if inputs.scorer_name else {}),
    }


def describe_answers(inputs: ReceiptInputs) -> dict[str, str]:
    """Return the means of the medium's facts about the answers of both versions."""
    describe = get_ability(plugins.find_part("medium", inputs.job.design.medium), "describe")
    champion_facts, challenger_facts = (
        [describe(answer) for answer in answers] for answers in (inputs.answers.champion, inputs.answers.challenger)
    )
    if not champion_facts or not challenger_facts:
        return {}
    sides = champion_facts, challenger_facts  # what is invalid may lack facts
    names = [name for name in dict.fromkeys(chain(*champion_facts)) if any(name in facts for facts in challenger_facts)]
    means = {name: [np.mean([facts[name] for facts in side if name in facts]) for side in sides] for name in names}
    return {f"{name} per answer": f"{before:.1f} → {after:.1f}" for name, (before, after) in means.items()}
