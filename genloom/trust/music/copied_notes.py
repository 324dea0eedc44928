"""The longest run of notes of each tune that also occurs in the training tunes, in any key, and where.

The lines of a tune are written as text, one character for the interval and the time from each note to the next, so that
the search for spans of text finds runs of notes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from genloom.media.music.score import Score
from genloom.media.music.theory import list_lines, list_steps
from genloom.trust.copied_spans import CopiedSpan, OverlapBaseline, find_longest_copies
from genloom.types import Item

MAX_INTERVAL, MAX_STEP_TICKS = 64, 2048  # longer ones count as these
FIRST_CHARACTER = 0x10000
OUTPUT_SEPARATOR, DOCUMENT_SEPARATOR = "\x01", "\x02"  # of lines; different, so that no run reaches over one


@dataclass(frozen=True)
class CopiedRun:
    """A run of notes that a tune shares with a training tune."""

    num_notes: int
    line: int = 0  # of the tune, from 0 at the top
    first_bar: int = 0  # of the tune, from 1
    last_bar: int = 0
    source: str = ""
    licence: str = "unknown"


@dataclass(frozen=True)
class CopiedNotesReport:
    """The longest copied run of each tune, and those of held-out tunes, which cannot have been copied."""

    runs: list[CopiedRun]
    baseline: OverlapBaseline | None  # in notes; None without held-out tunes

    def is_copied(self, index: int) -> bool:
        """Return whether a run is longer than those of 95 % of the held-out tunes."""
        return self.baseline is not None and self.runs[index].num_notes > self.baseline.percentile_95


def measure_copied_notes(
    outputs: Sequence[Score], documents: Iterable[Item], held_out: Sequence[Score]
) -> CopiedNotesReport:
    """Find the longest runs of outputs and of held-out tunes in one pass over the training tunes."""
    scores = [*outputs, *held_out]
    texts = (
        Item(write_steps(item.value, DOCUMENT_SEPARATOR), item.source, item.licence, item.meta) for item in documents
    )
    spans = find_longest_copies([write_steps(score, OUTPUT_SEPARATOR) for score in scores], texts)
    runs = [locate_run(score, span) for score, span in zip(scores, spans, strict=True)]
    lengths, baseline = [run.num_notes for run in runs[len(outputs) :]], None
    if lengths:
        median, percentile_95 = np.quantile(lengths, [0.5, 0.95])
        baseline = OverlapBaseline(len(lengths), float(median), float(percentile_95), max(lengths))
    return CopiedNotesReport(runs[: len(outputs)], baseline)


def write_steps(score: Score, separator: str) -> str:
    """Return the steps of all lines as text."""
    return separator.join(
        "".join(
            chr(
                FIRST_CHARACTER
                + (max(min(interval, MAX_INTERVAL - 1), -MAX_INTERVAL) + MAX_INTERVAL) * MAX_STEP_TICKS
                + min(ticks, MAX_STEP_TICKS - 1)
            )
            for interval, ticks in list_steps(line)
        )
        for _, line in list_lines(score)
    )


def locate_run(score: Score, span: CopiedSpan) -> CopiedRun:
    """Return where a span of the steps of a score is among its notes."""
    if not span.length:
        return CopiedRun(0)
    start = span.start
    for number, (_, line) in enumerate(list_lines(score)):
        if start < len(line) - 1:
            onsets = [onset for onset, _ in score.bars]
            first, last = (
                int(np.searchsorted(onsets, note.onset, "right")) for note in (line[start], line[start + span.length])
            )
            return CopiedRun(span.length + 1, number, first, last, span.source, span.licence)
        start -= len(line)  # its steps, and the separator
    raise AssertionError("a span lies in a line")
