"""Excerpts of a piece that begin and end like one: whole phrases that close on the tonic."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from genloom.media.music.score import DRUMS, TICKS_PER_QUARTER, Note, Score

EXCERPT_BARS = (4, 8, 12, 16)


def iter_closes(score: Score) -> Iterator[tuple[int, int]]:
    """Yield where all voices come to rest on the tonic: the tick at which they end, and that of the next note.

    The last notes begin together, last a quarter at least, and have the tonic in the bass, a note of its triad above.
    """
    if score.key is None:
        return
    notes = sorted(note for part in score.parts if part.program != DRUMS for note in part.notes)
    triad = {0, 7, 4 if 4 in {(p - score.key.tonic) % 12 for p in score.key.pitch_classes} else 3}
    last: list[Note] = []  # that sound at the last onset
    for note in [*notes, Note(score.end, 0, 0)]:
        end = max((other.end for other in last), default=0)
        if last and note.onset >= end and end - max(other.onset for other in last) >= TICKS_PER_QUARTER:
            degrees = [(pitch - score.key.tonic) % 12 for pitch in sorted(other.pitch for other in last)]
            if degrees[0] == 0 and degrees[-1] in triad:
                yield end, note.onset
        last = [other for other in last if other.end > note.onset] + [note]


def draw_excerpt(score: Score, rng: np.random.Generator) -> Score | None:
    """Return phrases of 4, 8, 12 or 16 bars, with their upbeat, as a piece; None if only the whole piece is one."""
    bar_ticks, closes = score.meters[0].bar_ticks, list(iter_closes(score))
    if len(score.meters) > 1 or not closes:
        return None
    first = min(note.onset for part in score.parts for note in part.notes)
    begins = [first] * score.begins + [begin for _, begin in closes]
    spans = [
        (begin, end)
        for begin in begins
        for end, _ in closes
        if any(0 <= count * bar_ticks - (end - begin) <= bar_ticks // 2 for count in EXCERPT_BARS)
        and (begin, end) != (first, score.end)
    ]
    if not spans:
        return None
    begin, end = spans[rng.integers(len(spans))]
    parts = tuple(
        replace(part, notes=tuple(note for note in part.notes if begin <= note.onset < end)) for part in score.parts
    )
    excerpt = replace(score, parts=tuple(part for part in parts if part.notes))
    return replace(excerpt.cut(begin // bar_ticks, -(-end // bar_ticks)), begins=True, ends=True)
