"""Evaluation of music: the shared measures, voice leading, harmony and controls, and what was copied."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import reduce
from operator import add
from typing import Any

from genloom.evaluate import default
from genloom.evaluate.battery import Battery
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.report import Report
from genloom.evaluate.training_sources import TrainingSources
from genloom.media.music.controls import Controls, read_words
from genloom.media.music.score import Score, find_key
from genloom.media.music.theory import find_faults, list_histograms, measure_overlap
from genloom.text_format import format_count
from genloom.trust.music.copied_notes import (
    DOCUMENT_SEPARATOR,
    OUTPUT_SEPARATOR,
    CopiedNotesReport,
    CopiedRun,
    measure_copied_notes,
    write_steps,
)

BATTERY: Battery | None = None
compare = default.compare


def write_copied_text(value: Score, *, is_output: bool) -> str:
    """Return the steps of a score as text, in which copies are found; those of an output do not run across lines."""
    return write_steps(value, OUTPUT_SEPARATOR if is_output else DOCUMENT_SEPARATOR)


def evaluate(context: EvaluationContext) -> Report:
    """Measure the shared figures, the faults a bar and the histograms beside those of held-out tunes."""
    items, outputs = default.generate_samples(context)
    held_out = [item.value for item in items]
    copied = None
    if context.sources.datasets:
        context.progress.print_note("Looking for copies")
        copied = measure_copied_notes(outputs, context.sources.documents("train"), held_out)
    report = default.build_report(context, items, outputs, [] if copied is None else list(map(name_run, copied.runs)))
    faults = {"generated": count_faults(outputs), "held out": count_faults(held_out)}
    overlaps = compare_histograms(outputs, held_out)
    prompts = [str(item.meta.get("caption") or item.meta.get("text") or "") for item in items]
    followed = count_followed(outputs, [read_words(prompt) for prompt in prompts])
    lines = [
        "Voice leading, faults a bar (generated, held out):",
        *(
            f"  {rule}: {faults['generated'].get(rule, 0):.3f}, {faults['held out'].get(rule, 0):.3f}"
            for rule in sorted({*faults["generated"], *faults["held out"]})
        ),
        "Overlap of histograms with held-out tunes (1: the same): "
        + ", ".join(f"{name} {value:.2f}" for name, value in overlaps.items()),
        *(f"  {name} as the prompt asks: {done} of {total}" for name, (done, total) in followed.items()),
        *format_copied_notes(context.sources, copied),
    ]
    details = {**report.details, "faults_per_bar": faults, "overlaps": overlaps, "followed": followed}
    details["copied"] = copied_notes_to_json(context.sources, copied)
    return replace(report, lines=[*report.lines, *lines], details=details)


def count_faults(scores: Sequence[Score]) -> dict[str, float]:
    """Return the faults of each rule in all scores, divided by their bars."""
    counts = Counter(fault.rule for score in scores for fault in find_faults(score))
    bars = max(sum(len(score.bars) for score in scores), 1)
    return {rule: count / bars for rule, count in counts.items()}


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


def name_run(run: CopiedRun) -> str:
    """Return a run in words, beside the tune it is in."""
    return f"{format_count(run.num_notes, 'note')} as in {run.source}" if run.num_notes else ""


def format_copied_notes(sources: TrainingSources, copied: CopiedNotesReport | None) -> list[str]:
    """Return lines on the longest runs copied from training tunes; None means that nothing could be searched."""
    missing_lines = [f"  {missing_source}" for missing_source in sources.missing]
    if copied is None:
        return ["Copied from its training tunes: unknown", *missing_lines]
    index = max(range(len(copied.runs)), key=lambda n: copied.runs[n].num_notes)
    longest, lines = copied.runs[index], [f"Copied from its training tunes, {sources.joined_names}, in any key:"]
    lines.append(f"  {format_count(longest.num_notes, 'note')} in a row at most")
    if longest.num_notes:
        bars = f"bars {longest.first_bar} to {longest.last_bar}"
        lines.append(f"  in {bars} of sample {index + 1}, from {longest.source} ({longest.licence})")
    if copied.baseline is not None:
        lines.append(
            f"  held-out tunes share {copied.baseline.median:.0f} (median) to {copied.baseline.maximum} by chance; "
            f"{sum(map(copied.is_copied, range(len(copied.runs))))} of {len(copied.runs)} samples share more than "
            "95 % of them do"
        )
    return lines + missing_lines


def copied_notes_to_json(sources: TrainingSources, copied: CopiedNotesReport | None) -> dict[str, Any]:
    """Return runs and baseline as JSON values; null if nothing could be searched."""
    return {
        **sources.to_json(),
        "runs": None if copied is None else [asdict(run) for run in copied.runs],
        "baseline": None if copied is None or copied.baseline is None else asdict(copied.baseline),
    }
