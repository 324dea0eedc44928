"""Notes on a grid of 24 ticks a quarter note: parts, meters, tempos and key of a piece.

24 ticks hold sixteenths, thirty-seconds and triplets of eighths and sixteenths exactly.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

TICKS_PER_QUARTER = 24
DRUMS = 128  # the program of percussion, beside the 128 programs of General MIDI
MAX_BAR_TICKS = 192  # eight quarter notes
TONICS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 9, 10, 11),  # natural, harmonic and melodic
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}


class Note(NamedTuple):
    """A note; onset and duration are ticks."""

    onset: int
    duration: int
    pitch: int  # of MIDI: 60 is middle C
    velocity: int = 80  # from 1 to 127

    @property
    def end(self) -> int:
        return self.onset + self.duration


class Meter(NamedTuple):
    """A time signature from a tick on."""

    onset: int
    beats: int
    unit: int  # 4: a beat is a quarter note

    @property
    def bar_ticks(self) -> int:
        return 4 * TICKS_PER_QUARTER * self.beats // self.unit

    def __str__(self) -> str:
        return f"{self.beats}/{self.unit}"


def is_meter(beats: int, unit: int) -> bool:
    """Return whether a bar of so many beats can be written: of one to eight quarter notes, and whole ticks."""
    ticks, rest = divmod(4 * TICKS_PER_QUARTER * beats, unit)
    return not rest and 1 <= beats <= 16 and TICKS_PER_QUARTER <= ticks <= MAX_BAR_TICKS


class Tempo(NamedTuple):
    """A tempo from a tick on."""

    onset: int
    bpm: float  # quarter notes a minute


class Key(NamedTuple):
    """A key, such as D minor."""

    tonic: int  # pitch class, 0 is C
    mode: str  # of MODES

    @property
    def pitch_classes(self) -> frozenset[int]:
        return frozenset((self.tonic + step) % 12 for step in MODES[self.mode])

    def __str__(self) -> str:
        return f"{TONICS[self.tonic]} {self.mode}"


@dataclass(frozen=True)
class Part:
    """The notes of an instrument, sorted; they may sound together."""

    program: int  # of General MIDI, or DRUMS
    notes: tuple[Note, ...]
    name: str = ""

    @property
    def end(self) -> int:
        return max((note.end for note in self.notes), default=0)


@dataclass(frozen=True)
class Score:
    """A piece. Bars begin at the meters; an upbeat stands at the end of a full first bar."""

    parts: tuple[Part, ...]
    meters: tuple[Meter, ...] = (Meter(0, 4, 4),)
    tempos: tuple[Tempo, ...] = (Tempo(0, 120.0),)
    key: Key | None = None
    style: str = ""
    title: str = ""
    begins: bool = True  # whether it is the beginning of a piece, and not a passage
    ends: bool = True
    min_bars: int = 0  # bars that a piece has although nothing may sound in its last ones

    @property
    def end(self) -> int:
        """The tick after the last note."""
        return max((part.end for part in self.parts), default=0)

    @property
    def num_notes(self) -> int:
        return sum(len(part.notes) for part in self.parts)

    @property
    def bars(self) -> tuple[tuple[int, Meter], ...]:
        """The first tick and the meter of every bar."""
        return tuple(self.iter_bars())

    def iter_bars(self) -> Iterator[tuple[int, Meter]]:
        count, ends = 0, [meter.onset for meter in self.meters[1:]] + [self.end]
        for meter, end in zip(self.meters, ends, strict=True):
            for onset in range(meter.onset, min(end, self.end), meter.bar_ticks):
                count += 1
                yield onset, meter
        last = self.meters[-1]
        first = last.onset + max(-(-(self.end - last.onset) // last.bar_ticks), 0) * last.bar_ticks
        for number in range(self.min_bars - count):
            yield first + number * last.bar_ticks, last

    def cut(self, first: int, last: int, has_held: bool = True) -> "Score":
        """Return bars `first` to `last`, the latter excluded; notes that reach into another bar are cut there.

        Without `has_held`, notes that began before bar `first` are left out.
        """
        bars = self.bars
        begin = bars[first][0] if first < len(bars) else self.end
        end = bars[last][0] if last < len(bars) else self.end
        meter = bars[min(first, len(bars) - 1)][1] if bars else self.meters[0]
        tempo = [tempo for tempo in self.tempos if tempo.onset <= begin][-1]
        return replace(
            self,
            parts=tuple(replace(part, notes=cut_notes(part.notes, begin, end, has_held)) for part in self.parts),
            meters=(
                meter._replace(onset=0),
                *(m._replace(onset=m.onset - begin) for m in self.meters if begin < m.onset < end),
            ),
            tempos=(
                tempo._replace(onset=0),
                *(t._replace(onset=t.onset - begin) for t in self.tempos if begin < t.onset < end),
            ),
            begins=self.begins and first == 0,
            ends=self.ends and last >= len(bars),
            min_bars=0,
        )

    def transpose(self, semitones: int) -> "Score":
        """Return the score with every pitched note moved; notes that leave the range of MIDI move by an octave less."""
        key = self.key and self.key._replace(tonic=(self.key.tonic + semitones) % 12)
        parts = tuple(
            part
            if part.program == DRUMS
            else replace(
                part, notes=tuple(note._replace(pitch=fold_pitch(note.pitch + semitones)) for note in part.notes)
            )
            for part in self.parts
        )
        return replace(self, parts=parts, key=key)


def build_clock(tempos: Sequence[Tempo]) -> Callable[[int], float]:
    """Return the function from a tick to the seconds at which it sounds."""
    onsets, seconds = [tempo.onset for tempo in tempos], [0.0]
    for tempo, following in pairwise(tempos):
        seconds.append(seconds[-1] + (following.onset - tempo.onset) / TICKS_PER_QUARTER * 60 / tempo.bpm)

    def to_seconds(tick: int) -> float:
        index = max(bisect_right(onsets, tick) - 1, 0)
        return seconds[index] + (tick - onsets[index]) / TICKS_PER_QUARTER * 60 / tempos[index].bpm

    return to_seconds


def fold_pitch(pitch: int) -> int:
    """Return the pitch, moved by octaves into the range of MIDI."""
    return pitch + 12 * ((127 - pitch) // 12) if pitch > 127 else pitch + 12 * (-(pitch // 12)) if pitch < 0 else pitch


def cut_notes(notes: tuple[Note, ...], begin: int, end: int, has_held: bool = True) -> tuple[Note, ...]:
    """Return the parts of notes from `begin` to `end`, with onsets counted from `begin`."""
    return tuple(
        note._replace(onset=max(note.onset, begin) - begin, duration=min(note.end, end) - max(note.onset, begin))
        for note in notes
        if note.onset < end and (note.end > begin if has_held else note.onset >= begin)
    )


def split_voices(notes: tuple[Note, ...]) -> list[tuple[Note, ...]]:
    """Split notes into lines without overlaps; each note joins the free line that is nearest in pitch.

    Highest first within a chord, so that lines keep their order.
    """
    lines: list[list[Note]] = []
    for note in sorted(notes, key=lambda note: (note.onset, -note.pitch)):
        free = [line for line in lines if line[-1].end <= note.onset]
        if free:
            min(free, key=lambda line: (abs(line[-1].pitch - note.pitch), note.onset - line[-1].end)).append(note)
        else:
            lines.append([note])
    return [tuple(line) for line in lines]


def trim_meters(meters: tuple[Meter, ...], end: int) -> tuple[Meter, ...]:
    """Return the meters that begin before the end."""
    return (meters[0], *(meter for meter in meters[1:] if meter.onset < end))


def count_sharps(key: Key) -> int:
    """Return the sharps of a key's signature; flats are negative."""
    shift = {"major": 0, "minor": 3, "dorian": 10, "mixolydian": 5}[key.mode]
    return ((key.tonic + shift) * 7 + 5) % 12 - 5


def spell_pitch(pitch: int, sharps: int) -> tuple[str, int, int]:
    """Return the letter, its alteration and the octave of a pitch in a signature, the nearest on the line of fifths.

    The raised leading note of a minor key is sharp, also in a signature of flats.
    """
    first = sharps - 3
    fifths = first + (pitch * 7 - first) % 12  # from C
    alter = (fifths + 1) // 7
    return "FCGDAEB"[(fifths + 1) % 7], alter, (pitch - alter) // 12 - 1


def find_key(score: Score) -> Key | None:
    """Return the most likely key by the profiles of Krumhansl and Kessler (1982); None without notes."""
    fits = correlate_keys(score)
    return max(fits, key=lambda key: fits[key]) if fits else None


def correlate_keys(score: Score) -> dict[Key, float]:
    """Return the correlation of the pitch classes with the profile of each key; nothing without notes.

    A final bass note on the tonic counts as a tenth of all notes, since pieces end there.
    """
    weights = [0.0] * 12
    for part in score.parts:
        for note in part.notes:
            weights[note.pitch % 12] += note.duration * (part.program != DRUMS)
    if not sum(weights):
        return {}
    last = max(note.end for part in score.parts if part.program != DRUMS for note in part.notes)
    bass = min(note.pitch for part in score.parts if part.program != DRUMS for note in part.notes if note.end == last)
    weights[bass % 12] += sum(weights) / 10
    return {
        Key(tonic, mode): _correlate_profiles(weights[tonic:] + weights[:tonic], profile)
        for tonic in range(12)
        for mode, profile in KEY_PROFILES.items()
    }


KEY_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def _correlate_profiles(a: list[float], b: tuple[float, ...]) -> float:
    mean_a, mean_b = sum(a) / 12, sum(b) / 12
    products = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    norm = sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    return products / norm**0.5 if norm else 0.0


def iter_intervals(notes: tuple[Note, ...]) -> Iterator[int]:
    """Yield the semitones from each note of a line to the next."""
    return (second.pitch - first.pitch for first, second in pairwise(notes))
