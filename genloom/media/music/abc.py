"""Scores as ABC: a voice for each line of notes, with bars, meters, tempos and keys."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from genloom.media.music.controls import name_program
from genloom.media.music.score import (
    DRUMS,
    TICKS_PER_QUARTER,
    Key,
    Meter,
    Note,
    Score,
    count_sharps,
    spell_pitch,
    split_voices,
)

UNIT = TICKS_PER_QUARTER // 2  # ticks of a length of 1: an eighth note
MODES = {"major": "", "minor": "m", "dorian": "dor", "mixolydian": "mix"}
ACCIDENTALS = {-2: "__", -1: "_", 0: "=", 1: "^", 2: "^^"}
SHARP_ORDER = "FCGDAEB"
BARS_PER_LINE = 4


def write_abc(score: Score) -> bytes:
    """Return the score as an ABC file; lengths that are no power of two, as in triplets, are written as fractions."""
    key, meter = score.key, score.meters[0]
    title = " ".join(score.title.split())
    lines = [
        "X:1",
        f"T:{title or 'Untitled'}",
        f"M:{meter}",
        "L:1/8",
        f"Q:1/4={score.tempos[0].bpm:.0f}",
        f"K:{name_key(key)}",
    ]
    voices = [(part, line) for part in score.parts for line in split_voices(part.notes)]
    for number, (part, line) in enumerate(voices, start=1):
        name = "".join(c for c in part.name or name_program(part.program) if c.isprintable() and c not in '"\\')
        lines += [
            f'V:{number} name="{name}"',
            f"%%MIDI {'channel 10' if part.program == DRUMS else f'program {part.program}'}",
        ]
        bars = [text + " |" for text in write_bars(score, line, has_tempos=number == 1)]
        lines += [" ".join(bars[n : n + BARS_PER_LINE]) for n in range(0, len(bars), BARS_PER_LINE)]
        lines[-1] += "]"
    return ("\n".join(lines) + "\n").encode()


def name_key(key: Key | None) -> str:
    """Return "Dm" or "Bb"; "C" for no key."""
    if key is None:
        return "C"
    sharps = count_sharps(key)
    letter, alter, _ = spell_pitch(60 + key.tonic, sharps)
    return f"{letter}{'#' * alter}{'b' * -alter}{MODES[key.mode]}"


def write_bars(score: Score, line: Sequence[Note], has_tempos: bool) -> Iterator[str]:
    """Yield the notes and rests of each bar; a note over a bar line is tied."""
    sharps, notes, first = 0 if score.key is None else count_sharps(score.key), list(line), 0
    tempos = score.tempos[1:] if has_tempos else ()
    previous: Meter | None = None
    for begin, meter in score.bars:
        end, tick, words = begin + meter.bar_ticks, begin, []
        if previous is not None and meter[1:] != previous[1:]:
            words.append(f"[M:{meter}]")
        previous = meter
        words += [f"[Q:1/4={tempo.bpm:.0f}]" for tempo in tempos if begin <= tempo.onset < end]
        altered: set[str] = set()
        while first < len(notes) and notes[first].onset < end:
            note = notes[first]
            onset = max(note.onset, begin)
            if onset > tick:
                words.append(f"z{write_length(onset - tick)}")
            tick = min(note.end, end)
            words.append(write_pitch(note.pitch, sharps, altered) + write_length(tick - onset) + "-" * (note.end > end))
            if note.end > end:
                break
            first += 1
        if tick < end:
            words.append(f"z{write_length(end - tick)}")
        yield " ".join(words)


def write_pitch(pitch: int, sharps: int, altered: set[str]) -> str:
    """Return the letter with its octave, and an accidental if the signature says otherwise or the bar altered it.

    Whether an accidental holds in other octaves too depends on the program that reads it, so that it is repeated there.
    """
    letter, alter, octave = spell_pitch(pitch, sharps)
    name = letter.lower() + "'" * (octave - 5) if octave >= 5 else letter + "," * (4 - octave)
    signature = SHARP_ORDER[:sharps] if sharps >= 0 else SHARP_ORDER[sharps:]
    if alter == (letter in signature) * (1 if sharps > 0 else -1) and letter not in altered:
        return name
    altered.add(letter)
    return ACCIDENTALS[alter] + name


def write_length(ticks: int) -> str:
    """Return a length in eighth notes: "", "2", "3/2" or "/2"."""
    length = Fraction(ticks, UNIT)
    numerator = "" if length.numerator == 1 else str(length.numerator)
    return numerator + ("" if length.denominator == 1 else f"/{length.denominator}")
