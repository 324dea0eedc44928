"""Evaluation of music: the shared measures, and voice leading, harmony and controls beside those of held-out tunes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add

from genloom.evaluate import default
from genloom.evaluate.battery import Battery
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.report import Report
from genloom.evaluate.sampling import generate_for_items
from genloom.media.music.controls import Controls, read_words
from genloom.media.music.score import Score, find_key
from genloom.media.music.theory import find_faults, list_histograms, measure_overlap

BATTERY: Battery | None = None
compare = default.compare


def evaluate(context: EvaluationContext) -> Report:
    """Measure the shared figures, the faults a bar and the histograms beside those of held-out tunes."""
    report = default.evaluate(context)
    count = context.options.num_samples or default.DEFAULT_NUM_SAMPLES
    items = list(context.dataset.sample_documents(context.split, count))
    outputs = generate_for_items(context.model, context.options, items, context.progress)
    held_out = [item.value for item in items]
    faults = {"generated": count_faults(outputs), "held out": count_faults(held_out)}
    overlaps = compare_histograms(outputs, held_out)
    prompts = [str(item.meta.get("caption") or item.meta.get("text") or "") for item in items]
    followed = count_followed(outputs, [read_words(prompt) for prompt in prompts])
    lines = [
        "Voice leading, faults a bar (generated, held out):",
        *(
            f"  {rule}: {faults['generated'][rule]:.3f}, {faults['held out'][rule]:.3f}"
            for rule in sorted({*faults["generated"], *faults["held out"]})
        ),
        "Overlap of histograms with held-out tunes (1: the same): "
        + ", ".join(f"{name} {value:.2f}" for name, value in overlaps.items()),
        *(f"  {name} as the prompt asks: {done} of {total}" for name, (done, total) in followed.items()),
    ]
    details = {**report.details, "faults_per_bar": faults, "overlaps": overlaps, "followed": followed}
    return replace(report, lines=[*report.lines, *lines], details=details)


def count_faults(scores: Sequence[Score]) -> dict[str, float]:
    """Return the faults of each rule in all scores, divided by their bars."""
    counts = Counter(fault.rule for score in scores for fault in find_faults(score))
    bars = max(sum(len(score.bars) for score in scores), 1)
    return Counter({rule: count / bars for rule, count in counts.items()})  # ty: ignore[invalid-return-type]


def compare_histograms(first: Sequence[Score], second: Sequence[Score]) -> dict[str, float]:
    """Return the overlap of each histogram of two collections."""
    names = ("pitch classes", "intervals", "durations")
    sums = [
        {name: reduce(add, (list_histograms(score)[name] for score in scores), Counter()) for name in names}
        for scores in (first, second)
    ]
    return {name: measure_overlap(sums[0][name], sums[1][name]) for name in names}


def count_followed(scores: Sequence[Score], controls: Sequence[Controls]) -> dict[str, tuple[int, int]]:
    """Return for each control how many scores keep it, of those that are asked to; keys are those that sound."""
    results: dict[str, list[bool]] = {}
    for score, asked in zip(scores, controls, strict=True):
        if asked.key is not None or asked.mode is not None:
            sounding = find_key(score)
            mode = asked.key.mode if asked.key else asked.mode
            family = {"dorian": "minor", "mixolydian": "major"}.get(str(mode), mode)
            is_kept = sounding is not None and sounding.mode == family
            is_kept &= asked.key is None or (sounding is not None and sounding.tonic == asked.key.tonic)
            results.setdefault("key", []).append(is_kept)
        if asked.meter is not None:
            results.setdefault("meter", []).append(score.meters[0][1:] == asked.meter)
        if asked.bars is not None:
            results.setdefault("bars", []).append(len(score.bars) == asked.bars)
        if asked.programs is not None:
            programs = tuple(part.program for part in score.parts)
            results.setdefault("instruments", []).append(programs == asked.programs)
    return {name: (sum(kept), len(kept)) for name, kept in results.items()}
