"""Rules of voice leading and facts about melody and harmony, as measures of a score."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from genloom.media.music.controls import PIANO_RANGE, RANGES
from genloom.media.music.score import DRUMS, TICKS_PER_QUARTER, Note, Score, iter_intervals, split_voices

VOCAL_RANGES = ((60, 81), (53, 76), (47, 69), (38, 62))  # soprano, alto, tenor, bass
CHOIR = 52
MAX_LEAP = 12  # semitones
PERFECT = {0: "parallel octaves", 7: "parallel fifths"}


@dataclass(frozen=True)
class Fault:
    """A breach of a rule at a tick, by its name."""

    rule: str
    tick: int


def list_lines(score: Score) -> list[tuple[int, tuple[Note, ...]]]:
    """Return the program and the notes of every line without overlaps, from the highest part; drums are left out."""
    return [
        (part.program, line)
        for part in score.parts
        if part.program != DRUMS
        for line in split_voices(part.notes)
        if line
    ]


def find_range(programs: Sequence[int], index: int) -> tuple[int, int]:
    """Return the lowest and the highest pitch of a line among those of these programs; four of a choir are SATB."""
    if len(programs) == 4 and programs[index] == CHOIR:
        return VOCAL_RANGES[index]
    return RANGES.get(programs[index], PIANO_RANGE)


def find_faults(score: Score) -> list[Fault]:
    """Return the faults of voice leading, as textbooks of four-part harmony count them.

    Parallel octaves (with unisons) and fifths between two voices that both move; voices that cross; notes outside the
    range of the instrument, or of the voice in a choir of four; leaps over an octave.
    """
    lines = list_lines(score)
    faults = []
    for index, (_, line) in enumerate(lines):
        low, high = find_range([other for other, _ in lines], index)
        faults += [Fault("out of range", note.onset) for note in line if not low <= note.pitch <= high]
        faults += [
            Fault("leap over an octave", second.onset)
            for first, second in pairwise(line)
            if abs(second.pitch - first.pitch) > MAX_LEAP and second.onset <= first.end
        ]
    for (_, upper), (_, lower) in combinations(lines, 2):
        faults += find_parallels(upper, lower)
    for (_, upper), (_, lower) in pairwise(lines):
        faults += [
            Fault("crossing", tick)
            for tick, high_pitch, low_pitch in iter_pairs(upper, lower)
            if low_pitch > high_pitch
        ]
    return faults


def iter_pairs(upper: tuple[Note, ...], lower: tuple[Note, ...]) -> Iterator[tuple[int, int, int]]:
    """Yield the tick and both pitches wherever two lines sound together and one of them begins a note."""
    i = j = 0
    while i < len(upper) and j < len(lower):
        first, second = upper[i], lower[j]
        if first.onset < second.end and second.onset < first.end:
            yield max(first.onset, second.onset), first.pitch, second.pitch
        if first.end <= second.end:
            i += 1
        if second.end <= first.end:
            j += 1


def find_parallels(upper: tuple[Note, ...], lower: tuple[Note, ...]) -> list[Fault]:
    """Return where two lines move in the same direction from one perfect interval to the same."""
    faults = []
    previous: tuple[int, int] | None = None
    for tick, high, low in iter_pairs(upper, lower):
        if previous is not None:
            moves = high - previous[0], low - previous[1]
            interval = (high - low) % 12
            is_same = interval in PERFECT and interval == (previous[0] - previous[1]) % 12
            if is_same and moves[0] * moves[1] > 0:
                faults.append(Fault(PERFECT[interval], tick))
        previous = high, low
    return faults


def measure_stepwise(score: Score) -> float:
    """Return the share of steps (up to two semitones) among the melodic intervals of all lines."""
    intervals = [abs(interval) for _, line in list_lines(score) for interval in iter_intervals(line)]
    return sum(interval <= 2 for interval in intervals) / max(len(intervals), 1)


def count_notes_per_quarter(score: Score) -> float:
    """Return the mean number of notes that begin in a quarter note, in all parts together."""
    return score.num_notes * TICKS_PER_QUARTER / max(score.end, 1)


def list_histograms(score: Score) -> dict[str, Counter[int]]:
    """Return the counts that compare collections: pitch classes from the tonic, intervals, durations in ticks."""
    tonic = score.key.tonic if score.key else 0
    lines = [line for _, line in list_lines(score)]
    return {
        "pitch classes": Counter((note.pitch - tonic) % 12 for line in lines for note in line),
        "intervals": Counter(max(min(interval, 13), -13) for line in lines for interval in iter_intervals(line)),
        "durations": Counter(min(note.duration, 8 * TICKS_PER_QUARTER) for line in lines for note in line),
    }


def measure_overlap(first: Counter[int], second: Counter[int]) -> float:
    """Return the overlapping area of two histograms, from 0 to 1."""
    totals = max(sum(first.values()), 1), max(sum(second.values()), 1)
    return sum(min(first[key] / totals[0], second[key] / totals[1]) for key in first.keys() | second.keys())


def list_steps(line: tuple[Note, ...]) -> tuple[tuple[int, int], ...]:
    """Return the interval and the time from each note to the next."""
    return tuple((second.pitch - first.pitch, second.onset - first.onset) for first, second in pairwise(line))
