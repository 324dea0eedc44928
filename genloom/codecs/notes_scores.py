"""The contents of scores as tokens, cell by cell, and back.

A cell is a voice in a bar: PART, then the state at the bar line (NOTE, REST or TIE), then POSITION and NOTE or REST for
each change. A note lasts until the next change of its voice, so no durations are needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from genloom.codecs.notes_vocabulary import (
    BPMS,
    DEFAULT_VELOCITY,
    HEADER,
    MAX_VOICES,
    METERS,
    MODE_NAMES,
    OFFSETS,
    REST,
    TIE,
    VELOCITY_STEP,
    VOCAB_SIZE,
    Cell,
    find_meter,
    find_tempo,
    from_token,
    to_token,
)
from genloom.media.music.score import (
    DRUMS,
    TICKS_PER_QUARTER,
    Key,
    Meter,
    Note,
    Part,
    Score,
    Tempo,
    fold_pitch,
    split_voices,
)


@dataclass
class Voice:
    """A line of notes without overlaps, of an instrument."""

    program: int
    notes: list[Note] = field(default_factory=list)
    continues: bool = False  # whether it belongs to the part of the voice before


def list_score_voices(score: Score) -> list[Voice]:
    """Return the voices of all parts from top to bottom, at most MAX_VOICES."""
    voices = [
        Voice(part.program, list(line), continues=index > 0)
        for part in score.parts
        for index, line in enumerate(split_voices(part.notes) or [()])
    ]
    return voices[:MAX_VOICES]


def measure_density(score: Score) -> int:
    """Return the level of notes a quarter and voice: 0 for a quarter of a note or fewer, two levels an octave."""
    voices = max(len(list_score_voices(score)), 1)
    per_quarter = score.num_notes * TICKS_PER_QUARTER / max(score.end, 1) / voices
    return int(np.clip(np.floor(2 * np.log2(max(per_quarter, 1e-6)) + 4), 0, 7))


def encode_cells(score: Score, voices: Sequence[Voice], bars: Sequence[tuple[int, Meter]]) -> dict[Cell, list[int]]:
    """Return the tokens of every cell; those of (bar, -1) tell a new meter or tempo."""
    content: dict[Cell, list[int]] = {}
    meter, tempo = find_meter(score.meters[0]), find_tempo(score.tempos[0].bpm)
    shift = 0 if score.key is None else -score.key.tonic
    for bar, (onset, bar_meter) in enumerate(bars):
        changes = content[bar, -1] = []
        if (new_meter := find_meter(bar_meter)) != meter:
            changes.append(to_token("meter", new_meter))
            meter = new_meter
        end = onset + bar_meter.bar_ticks
        in_bar = [change for change in score.tempos if change.onset < end]
        if in_bar and (new_tempo := find_tempo(in_bar[-1].bpm)) != tempo:
            changes.append(to_token("tempo", new_tempo))
            tempo = new_tempo
        for index, voice in enumerate(voices):
            offset = 0 if voice.program == DRUMS else shift
            content[bar, index] = encode_cell(voice.notes, onset, end, offset)
    return content


def encode_cell(notes: Sequence[Note], begin: int, end: int, shift: int) -> list[int]:
    """Return the state at the bar line and the changes in the bar."""
    events: dict[int, list[int]] = {}
    velocity = DEFAULT_VELOCITY
    for note in notes:
        if note.end <= begin or note.onset >= end:
            continue
        if note.onset < begin:
            events[0] = [TIE]
        else:
            level = min(note.velocity // VELOCITY_STEP, 7)
            loudness = [] if level == velocity else [to_token("velocity", level)]
            velocity = level
            events[note.onset - begin] = [*loudness, to_token("note", fold_pitch(note.pitch + shift))]
        if note.end < end:
            events[note.end - begin] = [REST]
    events.setdefault(0, [REST])
    return [
        token
        for position in sorted(events)
        for token in ([to_token("position", position)] if position else []) + events[position]
    ]


def decode_tokens(tokens: Sequence[int], styles: Sequence[str]) -> Score:
    """Return the score that tokens describe; tokens that are not valid where they stand are ignored."""
    header: dict[str, int] = {}
    programs: list[tuple[int, bool]] = []
    cells: dict[Cell, list[tuple[int, int, int]]] = {}  # position, REST, TIE or a note, velocity level
    changes: dict[int, dict[str, int]] = {}  # bar counted from the end
    bar, voice, position, velocity = -1, -1, 0, DEFAULT_VELOCITY
    for token in tokens:
        if not 0 <= token < VOCAB_SIZE:
            continue
        name, value = from_token(token)
        if name == "end":
            break
        if bar < 0 and name in HEADER:
            header.setdefault(name, value)
        elif bar < 0 and name in ("instrument", "same") and len(programs) < MAX_VOICES:
            if name == "instrument" or programs:
                programs.append((value, False) if name == "instrument" else (programs[-1][0], True))
        elif name == "bar":
            bar, voice = value, -1
        elif bar >= 0 and voice < 0 and name in ("meter", "tempo"):
            changes.setdefault(bar, {})[name] = value
        elif name == "part":
            voice, position, velocity = value, 0, DEFAULT_VELOCITY
            if bar >= 0 and voice < len(programs):
                cells[bar, voice] = []
        elif name == "position":
            position = value
        elif name == "velocity":
            velocity = value
        elif name in ("note", "rest", "tie") and bar >= 0 and 0 <= voice < len(programs):
            cells[bar, voice].append((position, token, velocity))
    return build_score(header, programs, cells, changes, styles)


def build_score(
    header: dict[str, int],
    programs: Sequence[tuple[int, bool]],
    cells: dict[Cell, list[tuple[int, int, int]]],
    changes: dict[int, dict[str, int]],
    styles: Sequence[str],
) -> Score:
    num_bars = max((bar for bar, _ in cells), default=-1) + 1
    mode = MODE_NAMES[header.get("mode", len(MODE_NAMES) - 1)]
    tonic = header.get("key", 12)
    key = Key(tonic, mode) if tonic < 12 and mode else None
    shift = tonic if tonic < 12 and mode else 0
    meters = [Meter(0, *METERS[header.get("meter", METERS.index((4, 4)))])]
    tempos = [Tempo(0, BPMS[header.get("tempo", find_tempo(120))])]
    bars: list[tuple[int, int]] = []
    onset = 0
    for left in range(num_bars - 1, -1, -1):
        change = changes.get(left, {})
        if "meter" in change and METERS[change["meter"]] != meters[-1][1:]:
            meters = ([] if onset == 0 else meters) + [Meter(onset, *METERS[change["meter"]])]
        if "tempo" in change and BPMS[change["tempo"]] != tempos[-1].bpm:
            tempos = ([] if onset == 0 else tempos) + [Tempo(onset, BPMS[change["tempo"]])]
        bars.append((onset, onset + meters[-1].bar_ticks))
        onset += meters[-1].bar_ticks
    voices = []
    for voice, (program, _) in enumerate(programs):
        offset = 0 if program == DRUMS else shift
        voices.append(
            decode_voice([cells.get((num_bars - 1 - bar, voice), []) for bar in range(num_bars)], bars, offset)
        )
    parts: list[Part] = []
    for (program, continues), notes in zip(programs, voices, strict=True):
        if continues:
            parts[-1] = Part(program, tuple(sorted(parts[-1].notes + notes)))
        else:
            parts.append(Part(program, notes))
    style = header.get("style", 0)
    return Score(
        tuple(part for part in parts if part.notes),
        tuple(meters),
        tuple(tempos),
        key,
        styles[style - 1] if 0 < style <= len(styles) else "",
        begins=bool(header.get("begins", 1)),
        ends=bool(header.get("ends", 1)),
    )


def decode_voice(
    cells: Sequence[Sequence[tuple[int, int, int]]], bars: Sequence[tuple[int, int]], shift: int
) -> tuple[Note, ...]:
    """Return the notes of a voice from its states: each lasts until the next."""
    notes: list[Note] = []
    sounding: tuple[int, int, int] | None = None  # onset, pitch, velocity

    def stop(tick: int) -> None:
        nonlocal sounding
        if sounding is not None and tick > sounding[0]:
            notes.append(Note(sounding[0], tick - sounding[0], sounding[1], sounding[2]))
        sounding = None

    for events, (begin, end) in zip(cells, bars, strict=True):
        last = -1
        for position, token, velocity in events or [(0, REST, 0)]:
            tick = begin + position
            if position <= last or tick >= end or (token == TIE and position):
                continue
            last = position
            if token == TIE:
                continue
            stop(tick)
            if token != REST:
                pitch = fold_pitch(token - OFFSETS["note"] + shift)
                sounding = tick, pitch, min(velocity * VELOCITY_STEP or 1, 127)
    stop(bars[-1][1] if bars else 0)
    return tuple(notes)
