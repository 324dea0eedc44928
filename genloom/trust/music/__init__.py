"""Passages that tunes share with training tunes: runs of notes, in any key."""

from collections.abc import Sequence

from genloom.media.music.score import Score
from genloom.trust.copied_spans import CopiedSpan
from genloom.trust.copies import CopyReport, Match, TrainingData
from genloom.trust.music.copied_notes import DOCUMENT_SEPARATOR, OUTPUT_SEPARATOR, locate_run, write_steps
from genloom.trust.shared_spans import SpanReading, find_shared_spans
from genloom.types import Item


def write_line_steps(value: Score, *, is_output: bool) -> str:
    """Return the steps of all lines as text; those of an output do not run across lines."""
    return write_steps(value, OUTPUT_SEPARATOR if is_output else DOCUMENT_SEPARATOR)


def build_match(value: Score, text: str, span: CopiedSpan, item: Item) -> Match:
    run = locate_run(value, span)
    return Match(
        span.source,
        span.licence,
        str(item.meta.get("id", "")),
        str(item.meta.get("caption", "")),
        length=run.num_notes,
        share=span.length / max(len(text), 1),
        place=f"line {run.line + 1}, bars {run.first_bar} to {run.last_bar}",
        is_identical=item.value is not None and text == write_line_steps(item.value, is_output=True),
    )


READING = SpanReading("notes", "note", write_line_steps, build_match, gram=6, stride=3, added=1)


def find_shared(values: Sequence[Score], data: TrainingData) -> list[CopyReport]:
    """Find the longest runs of tunes that occur in training tunes, in any key."""
    return find_shared_spans(values, data, READING)
