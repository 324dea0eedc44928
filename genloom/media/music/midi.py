"""MIDI files, read and written by symusic, on the grid of a score."""

import json
from dataclasses import dataclass
from typing import Any

from genloom.errors import GenloomError
from genloom.media.music.libraries import load_library
from genloom.media.music.score import (
    DRUMS,
    MAX_BAR_TICKS,
    MODES,
    TICKS_PER_QUARTER,
    TONICS,
    Key,
    Meter,
    Note,
    Part,
    Score,
    Tempo,
    count_sharps,
    is_meter,
    trim_meters,
)
from genloom.text_format import format_count

MAX_NOTES, MAX_PARTS, MAX_TICKS = 100_000, 64, 24 * 4 * 4096  # of a piece: 4,096 bars of 4/4
MIN_BPM, MAX_BPM = 10.0, 480.0
BAR_TICKS = frozenset(Meter(0, b, u).bar_ticks for b in range(1, 17) for u in (2, 4, 8, 16) if is_meter(b, u))
MARKER = "genloom:"  # begins the marker with what MIDI has no event for


@dataclass(frozen=True)
class Repairs:
    """Changes that a reader made to bring a file on the grid, by number."""

    moved: int = 0  # notes whose onset or length was off the grid by more than a hundredth of a quarter
    dropped: int = 0  # notes beyond the limits, or without a length
    meters: int = 0  # that were halved, moved to a bar line or left out
    unread: int = 0  # marks of a score that the reader did not understand
    pedals: int = 0  # presses of the pedal that are not read: notes end with their keys

    def __str__(self) -> str:
        texts = [
            (self.moved, "note", "moved to the grid of 24 a quarter"),
            (self.dropped, "note", "left out"),
            (self.meters, "meter", "changed"),
            (self.unread, "mark", "not understood"),
            (self.pedals, "pedal", "left out"),
        ]
        return ", ".join(f"{format_count(count, noun)} {text}" for count, noun, text in texts if count)


def read_midi(data: bytes) -> tuple[Score, Repairs]:
    """Parse a MIDI file; GenloomError if it is damaged, has no notes, or exceeds the limits."""
    symusic: Any = load_library("symusic")
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":  # MIDI in the container of Windows
        data = data[data.find(b"MThd") :]
    try:
        file: Any = symusic.Score.from_midi(data)
    except Exception as error:  # symusic raises RuntimeError and ValueError of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0][:80]
        raise GenloomError("music.damaged_midi", reason=reason) from None
    if not 1 <= file.ticks_per_quarter <= 32767:
        raise GenloomError("music.bad_time_unit", ticks=file.ticks_per_quarter)
    if not (tracks := [track for track in file.tracks if len(track.notes)]):
        raise GenloomError("music.no_notes")
    if (num_notes := sum(len(track.notes) for track in tracks)) > MAX_NOTES:
        raise GenloomError("music.too_many_notes", count=num_notes, maximum=MAX_NOTES)
    scale = TICKS_PER_QUARTER / file.ticks_per_quarter
    marker = next((m.text[len(MARKER) :] for m in file.markers if m.text.startswith(MARKER)), "{}")
    parts, moved, dropped = [], 0, sum(len(track.notes) for track in tracks[MAX_PARTS:])
    for track in tracks[:MAX_PARTS]:
        notes = []
        for note in track.notes:
            exact = note.time * scale, (note.time + note.duration) * scale
            onset = round(exact[0])
            duration = max(round(exact[1]) - onset, 1)
            if note.duration <= 0 or onset < 0 or onset + duration > MAX_TICKS or not 0 <= note.pitch < 128:
                dropped += 1
                continue
            moved += max(abs(onset - exact[0]), abs(onset + duration - exact[1])) > TICKS_PER_QUARTER / 100
            notes.append(Note(onset, duration, note.pitch, min(max(note.velocity, 1), 127)))
        if notes:
            parts.append(Part(DRUMS if track.is_drum else track.program, tuple(sorted(notes)), track.name[:80]))
    if not parts:
        raise GenloomError("music.no_notes_within_limits", bars=MAX_TICKS // (4 * TICKS_PER_QUARTER))
    facts = read_marker(marker)
    key = read_key(facts.get("key", ""))
    if key is None and len(file.key_signatures):
        signature = file.key_signatures[0]
        mode = "minor" if signature.tonality == 1 else "major"
        key = Key((signature.key * 7 + (9 if mode == "minor" else 0)) % 12, mode)
    changes = [(round(m.time * scale), m.numerator, m.denominator) for m in file.time_signatures]
    meters, num_changed = read_meters(changes)
    tempos = dict.fromkeys([0], 120.0) | {max(round(t.time * scale), 0): round_bpm(float(t.qpm)) for t in file.tempos}
    score = Score(
        tuple(parts),
        trim_meters(meters, max(part.end for part in parts)),
        tuple(Tempo(onset, bpm) for onset, bpm in sorted(tempos.items()) if onset <= MAX_TICKS),
        key,
        str(facts.get("style", ""))[:80],
        str(facts.get("title", ""))[:200],
        facts.get("begins") is not False,
        facts.get("ends") is not False,
    )
    return score, Repairs(moved, dropped, num_changed, pedals=sum(len(track.pedals) for track in file.tracks))


def round_bpm(bpm: float) -> float:
    """Return the nearest tempo within the limits that MIDI can store: whole microseconds a quarter note."""
    return 60e6 / round(60e6 / min(max(bpm, MIN_BPM), MAX_BPM))


def read_marker(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def read_key(text: Any) -> Key | None:
    """Return the key "D minor"; None for another text."""
    tonic, _, mode = text.partition(" ") if isinstance(text, str) else ("", "", "")
    return Key(TONICS.index(tonic), mode) if tonic in TONICS and mode in MODES else None


def read_meters(changes: list[tuple[int, int, int]]) -> tuple[tuple[Meter, ...], int]:
    """Return the meters, each beginning at a bar line, and how many of them differ from the file's.

    A bar longer than eight quarters is halved if it can be; a meter that cannot be written is left out.
    """
    meters: list[Meter] = []
    num_changed = 0
    for onset, beats, unit in sorted(changes) or [(0, 4, 4)]:
        num_changed += 1
        if not 1 <= beats <= 64 or unit not in (1, 2, 4, 8, 16) or onset > MAX_TICKS:
            continue
        meter = Meter(max(onset, 0), beats, unit)
        while meter.bar_ticks > MAX_BAR_TICKS and meter.beats % 2 == 0:
            meter = meter._replace(beats=meter.beats // 2)
        if meter.bar_ticks not in BAR_TICKS:
            continue
        if meters:
            previous = meters[-1]
            bars = -(-(meter.onset - previous.onset) // previous.bar_ticks)
            meter = meter._replace(onset=previous.onset + bars * previous.bar_ticks)
            if meter[1:] == previous[1:]:
                num_changed -= meter[1:] == (beats, unit)
                continue
            if bars == 0:
                meters.pop()
        elif meter.onset:
            meters.append(Meter(0, 4, 4))
            meter = meter._replace(onset=-(-meter.onset // 96) * 96)
        num_changed -= meter == (max(onset, 0), beats, unit)
        meters.append(meter)
    return tuple(meters) or (Meter(0, 4, 4),), num_changed


def write_midi(score: Score) -> bytes:
    """Return the score as a MIDI file, the same bytes for equal scores."""
    symusic: Any = load_library("symusic")
    file: Any = symusic.Score(TICKS_PER_QUARTER)
    for part in score.parts:
        track: Any = symusic.Track(part.name, min(part.program, 127) % 128, part.program == DRUMS)
        if part.program == DRUMS:
            track.program = 0
        for note in part.notes:
            track.notes.append(symusic.Note(note.onset, note.duration, note.pitch, note.velocity))
        file.tracks.append(track)
    for meter in score.meters:
        file.time_signatures.append(symusic.TimeSignature(*meter))
    for tempo in score.tempos:
        file.tempos.append(symusic.Tempo(tempo.onset, qpm=tempo.bpm))
    facts: dict[str, Any] = {"key": score.key and str(score.key), "style": score.style, "title": score.title}
    facts = {name: value for name, value in facts.items() if value}
    facts |= {name: False for name in ("begins", "ends") if not getattr(score, name)}
    if facts:
        file.markers.append(symusic.TextMeta(0, MARKER + json.dumps(facts, ensure_ascii=True)))
    if score.key is not None:
        tonality = int(score.key.mode in ("minor", "dorian"))
        file.key_signatures.append(symusic.KeySignature(0, count_sharps(score.key), tonality))
    return bytes(file.dumps_midi())
