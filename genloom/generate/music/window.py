"""The bars of a source that the model reads for a task, which of their cells it generates, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from genloom.codecs.notes_scores import list_score_voices
from genloom.codecs.notes_vocabulary import MAX_BARS, MAX_VOICES, Cell
from genloom.errors import GenloomError
from genloom.media.music.score import Note, Part, Score, split_voices

MIN_CONTEXT_BARS = 2  # that are read beside the bars to generate, if the source has them


@dataclass(frozen=True)
class Task:
    """The part of a source that is generated, or the voices beside it; one field is not empty."""

    added_bars: int = 0
    fill: tuple[int, int] | None = None  # the first bar, from 0, and the one after the last
    vary: float = 0.0  # share of the cells, drawn for each output
    programs: tuple[int, ...] = ()  # of added voices


@dataclass(frozen=True)
class Window:
    """Bars `begin` to `end` of a source, the latter excluded, as a score with the bars and voices that are added."""

    begin: int
    end: int
    score: Score
    part_numbers: tuple[int, ...]  # of the source's parts that it has

    @property
    def num_bars(self) -> int:
        return self.end - self.begin


def open_window(source: Score, task: Task, num_bars: int) -> Window:
    """Return about `num_bars` bars around those to generate; all of the source for a task that changes all of it.

    Raise GenloomError if there are more bars or voices than the codec can write.
    """
    total = len(source.bars)
    begin, end = 0, total
    if task.added_bars:
        begin = max(total - max(num_bars - task.added_bars, MIN_CONTEXT_BARS), 0)
        end = total + task.added_bars
    elif task.fill is not None:
        length = task.fill[1] - task.fill[0]
        extra = max(num_bars - length, MIN_CONTEXT_BARS)
        end = min(max(task.fill[0] - (extra + 1) // 2, 0) + length + extra, total)
        begin = max(end - length - extra, 0)
    if end - begin > MAX_BARS:
        raise GenloomError("music.source_too_long", bars=end - begin, maximum=MAX_BARS)
    passage = source.cut(begin, min(end, total))
    numbers = tuple(n for n, part in enumerate(passage.parts) if part.notes) or tuple(range(len(passage.parts)))
    parts = [passage.parts[n] for n in numbers] + [Part(program, ()) for program in task.programs]
    num_voices = sum(len(split_voices(part.notes)) or 1 for part in parts)
    if num_voices > MAX_VOICES:
        raise GenloomError("music.too_many_voices", count=num_voices, maximum=MAX_VOICES)
    score = replace(passage, parts=tuple(parts), ends=passage.ends or end >= total, min_bars=end - begin)
    return Window(begin, end, score, numbers)


def list_cells(window: Window, task: Task, nonce: int) -> tuple[Cell, ...]:
    """Return the cells of the window that the task generates; those to vary are drawn by the nonce of the output."""
    num_voices, num_added = len(list_score_voices(window.score)), len(task.programs)
    bars, voices = range(window.num_bars), range(num_voices)
    if task.added_bars:
        bars = range(window.num_bars - task.added_bars, window.num_bars)
    elif task.fill is not None:
        bars = range(task.fill[0] - window.begin, task.fill[1] - window.begin)
    elif task.programs:
        voices = range(num_voices - num_added, num_voices)
    cells = [(bar, voice) for bar in bars for voice in voices]
    if not task.vary:
        return tuple(cells)
    count = max(round(task.vary * len(cells)), 1)
    chosen = np.random.default_rng(nonce).choice(len(cells), count, replace=False)
    return tuple(cells[n] for n in sorted(chosen.tolist()))


def restore_source(source: Score, window: Window, task: Task, value: Score) -> Score:
    """Return the source with what was generated: the notes of the window are those of `value`.

    Names, tempos, the notes outside of the window and the velocities of known notes are those of the source.
    """
    bars = source.bars
    begin = bars[window.begin][0]
    end = bars[window.end][0] if window.end < len(bars) else None
    matched = match_parts(window.score.parts, value.parts)
    parts = []
    for number, part in enumerate(source.parts):
        index = window.part_numbers.index(number) if number in window.part_numbers else -1
        inside = matched[index].notes if index in matched else ()
        parts.append(replace(part, notes=merge_notes(part.notes, inside, begin, end)))
    added = range(len(window.part_numbers), len(window.score.parts))
    parts += [matched[index] for index in added if index in matched]
    return replace(
        source,
        parts=tuple(part for part in parts if part.notes),
        key=value.key,
        style=value.style or source.style,
        ends=source.ends or bool(task.added_bars),
    )


def match_parts(expected: Sequence[Part], parts: Sequence[Part]) -> dict[int, Part]:
    """Return for each expected part, by its index, the one that was generated; a silent one is left out there."""
    matched: dict[int, Part] = {}
    for index, part in enumerate(expected):
        number, remaining = len(matched), len(expected) - index
        if number == len(parts) or parts[number].program != part.program:
            continue
        common = {note[::2] for note in part.notes} & {note[::2] for note in parts[number].notes}  # onset and pitch
        if common or len(parts) - number >= remaining or not part.notes:
            matched[index] = parts[number]
    return matched


def merge_notes(own: Sequence[Note], generated: Sequence[Note], begin: int, end: int | None) -> tuple[Note, ...]:
    """Return a part's own notes outside of the ticks `begin` to `end`, and the generated ones inside.

    A note that is held over an edge stays one note.
    """
    known = {(note.onset, note.pitch): note for note in own}
    held = {note.pitch: note for note in own if note.onset < begin < note.end}
    notes = [note for note in own if note.onset < begin or (end is not None and note.onset >= end)]
    for note in generated:
        note = note._replace(onset=note.onset + begin)
        if note.onset == begin and note.pitch in held:
            continue
        if (same := known.get((note.onset, note.pitch))) is not None:
            is_cut = end is not None and note.end == end < same.end
            note = note._replace(velocity=same.velocity, duration=same.duration if is_cut else note.duration)
        notes.append(note)
    return tuple(sorted(notes))
