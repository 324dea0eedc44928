"""Scores as MusicXML, written by music21."""

import io
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from genloom.media.music.libraries import load_library
from genloom.media.music.score import (
    DRUMS,
    TICKS_PER_QUARTER,
    Key,
    Meter,
    Note,
    Part,
    Score,
    count_sharps,
    spell_pitch,
)

VIOLA, MIDDLE_C = 41, 60


def write_notation(score: Score, suffix: str) -> bytes:
    """Return the score as MusicXML."""
    music21: Any = load_library("music21")
    stream = build_stream(score)
    exporter = music21.musicxml.m21ToXml.GeneralObjectExporter(stream)
    data = bytes(exporter.parse())
    if suffix != ".mxl":
        return data
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        container = (
            '<?xml version="1.0" encoding="UTF-8"?><container><rootfiles><rootfile full-path="score.xml"/>'
            "</rootfiles></container>"
        )
        archive.writestr(zipfile.ZipInfo("META-INF/container.xml"), container)
        archive.writestr(zipfile.ZipInfo("score.xml"), data)
    return buffer.getvalue()


def build_stream(score: Score) -> Any:
    """Return the score as a music21 stream with bars."""
    import music21

    stream = music21.stream.Score()
    metadata: Any = music21.metadata.Metadata()
    metadata.title = score.title or " "
    stream.metadata = metadata
    for part in score.parts:
        line: Any = music21.stream.Part()
        line.partName = part.name or None
        instrument = (
            music21.instrument.UnpitchedPercussion()
            if part.program == DRUMS
            else music21.instrument.instrumentFromMidiProgram(part.program)
        )
        line.insert(0, instrument)
        line.insert(0, choose_clef(part))
        if score.key is not None:
            line.insert(0, music21.key.KeySignature(count_sharps(score.key)))
        for meter in score.meters:
            line.insert(Fraction(meter.onset, TICKS_PER_QUARTER), to_time_signature(meter))
        if part is score.parts[0]:
            for tempo in score.tempos:
                line.insert(
                    Fraction(tempo.onset, TICKS_PER_QUARTER), music21.tempo.MetronomeMark(number=round(tempo.bpm, 1))
                )
        chords: dict[tuple[int, int], list[Note]] = {}
        for note in part.notes:
            chords.setdefault((note.onset, note.duration), []).append(note)
        for (onset, duration), notes in chords.items():
            pitches = [to_pitch(note.pitch, score.key) for note in notes]
            element: Any = music21.note.Note(pitches[0]) if len(pitches) == 1 else music21.chord.Chord(pitches)
            element.quarterLength = Fraction(duration, TICKS_PER_QUARTER)
            line.insert(Fraction(onset, TICKS_PER_QUARTER), element)
        for begin, end in iter_silences(part, score):
            rest = music21.note.Rest(quarterLength=Fraction(end - begin, TICKS_PER_QUARTER))
            line.insert(Fraction(begin, TICKS_PER_QUARTER), rest)
        stream.insert(0, line)
    return stream


def iter_silences(part: Part, score: Score) -> Iterator[tuple[int, int]]:
    """Yield the ticks from which to which nothing sounds in a part, bar by bar."""
    notes, first, tick = sorted(part.notes), 0, 0
    for begin, meter in score.bars:
        end = begin + meter.bar_ticks
        while first < len(notes) and notes[first].onset < end:
            if notes[first].onset > max(tick, begin):
                yield max(tick, begin), notes[first].onset
            tick = max(tick, notes[first].end)
            first += 1
        if tick < end:
            yield max(tick, begin), end
            tick = end


def choose_clef(part: Part) -> Any:
    """Return the clef in which most notes of a part are on the lines."""
    import music21

    if part.program == DRUMS:
        return music21.clef.PercussionClef()
    if part.program == VIOLA:
        return music21.clef.AltoClef()
    is_low = sum(note.pitch < MIDDLE_C for note in part.notes) > len(part.notes) / 2
    return music21.clef.BassClef() if is_low else music21.clef.TrebleClef()


def to_pitch(midi: int, key: Key | None) -> Any:
    """Return a pitch spelled for its key."""
    music21: Any = load_library("music21")
    letter, alter, octave = spell_pitch(midi, 0 if key is None else count_sharps(key))
    return music21.pitch.Pitch(step=letter, accidental=alter or None, octave=octave)


def to_time_signature(meter: Meter) -> Any:
    import music21

    return music21.meter.TimeSignature(str(meter))
