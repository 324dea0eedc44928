"""MIDI files, read and written by symusic, on the grid of a score."""

import json
from dataclasses import dataclass
from typing import Any

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
    trim_meters,
)

MAX_NOTES, MAX_PARTS, MAX_TICKS = 100_000, 64, 24 * 4 * 4096  # of a piece: 4,096 bars of 4/4
MIN_BPM, MAX_BPM = 10.0, 480.0
MARKER = "genloom:"  # begins the marker with what MIDI has no event for


@dataclass(frozen=True)
class Repairs:
    """What a reader changed to bring a file on the grid, by number."""

    moved: int = 0  # notes whose onset or length was off the grid by more than a hundredth of a quarter
    dropped: int = 0  # notes beyond the limits, or without a length

    def __str__(self) -> str:
        texts = [(self.moved, "moved to the grid of 24 a quarter"), (self.dropped, "left out")]
        return ", ".join(f"{count:,} notes {text}" for count, text in texts if count)


def read_midi(data: bytes) -> tuple[Score, Repairs]:
    """Parse a MIDI file; ValueError if it is damaged, has no notes, or exceeds the limits."""
    import symusic

    try:
        file: Any = symusic.Score.from_midi(data)
    except Exception as error:  # symusic raises RuntimeError and ValueError of its own
        raise ValueError(f"it is damaged or no MIDI file ({str(error).splitlines()[0][:80] or 'no reason'})") from None
    if not 1 <= file.ticks_per_quarter <= 32767:
        raise ValueError(f"its time unit is {file.ticks_per_quarter} ticks a quarter note; 1 to 32,767 are read")
    if not (tracks := [track for track in file.tracks if len(track.notes)]):
        raise ValueError("it has no notes")
    if (num_notes := sum(len(track.notes) for track in tracks)) > MAX_NOTES:
        raise ValueError(f"it has {num_notes:,} notes; up to {MAX_NOTES:,} are read")
    scale = TICKS_PER_QUARTER / file.ticks_per_quarter
    marker = next((m.text[len(MARKER) :] for m in file.markers if m.text.startswith(MARKER)), "{}")
    parts, moved, dropped = [], 0, sum(len(track.notes) for track in tracks[MAX_PARTS:])
    for track in tracks[:MAX_PARTS]:
        notes = []
        for note in track.notes:
            exact = note.time * scale, note.duration * scale
            onset, duration = round(exact[0]), max(round(exact[1]), 1)
            if note.duration <= 0 or onset < 0 or onset + duration > MAX_TICKS or not 0 <= note.pitch < 128:
                dropped += 1
                continue
            moved += max(abs(onset - exact[0]), abs(duration - exact[1])) > TICKS_PER_QUARTER / 100
            notes.append(Note(onset, duration, note.pitch, min(max(note.velocity, 1), 127)))
        if notes:
            parts.append(Part(DRUMS if track.is_drum else track.program, tuple(sorted(notes)), track.name[:80]))
    if not parts:
        raise ValueError("it has no notes of a length within the first 4,096 bars")
    facts = read_marker(marker)
    key = read_key(facts.get("key", ""))
    if key is None and len(file.key_signatures):
        signature = file.key_signatures[0]
        mode = "minor" if signature.tonality == 1 else "major"
        key = Key((signature.key * 7 + (9 if mode == "minor" else 0)) % 12, mode)
    meters = read_meters([(round(m.time * scale), m.numerator, m.denominator) for m in file.time_signatures])
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
    return score, Repairs(moved, dropped)


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


def read_meters(changes: list[tuple[int, int, int]]) -> tuple[Meter, ...]:
    """Return the meters, each beginning at a bar line; a bar longer than eight quarters is halved if it can be."""
    meters: list[Meter] = []
    for onset, beats, unit in sorted(changes) or [(0, 4, 4)]:
        if not 1 <= beats <= 64 or unit not in (1, 2, 4, 8, 16) or onset > MAX_TICKS:
            continue
        meter = Meter(max(onset, 0), beats, unit)
        while meter.bar_ticks > MAX_BAR_TICKS and meter.beats % 2 == 0:
            meter = meter._replace(beats=meter.beats // 2)
        if not TICKS_PER_QUARTER <= meter.bar_ticks <= MAX_BAR_TICKS:
            continue
        if meters:
            previous = meters[-1]
            bars = -(-(meter.onset - previous.onset) // previous.bar_ticks)
            meter = meter._replace(onset=previous.onset + bars * previous.bar_ticks)
            if meter[1:] == previous[1:]:
                continue
            if bars == 0:
                meters.pop()
        elif meter.onset:
            meters.append(Meter(0, 4, 4))
            meter = meter._replace(onset=-(-meter.onset // 96) * 96)
        meters.append(meter)
    return tuple(meters) or (Meter(0, 4, 4),)


def write_midi(score: Score) -> bytes:
    """Return the score as a MIDI file, the same bytes for equal scores."""
    import symusic

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
