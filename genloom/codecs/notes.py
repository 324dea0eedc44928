"""Scores as tokens: a header of controls, then bar by bar and voice by voice what begins where in the bar.

    key mode meter tempo style density begins ends instrument… | known cells | FILL | cells to generate

A cell is a voice in a bar: PART, then the state at the bar line (NOTE, REST or TIE), then POSITION and NOTE or REST for
each change. A note lasts until the next change of its voice, so no durations are needed. BAR tells how many bars are
left. Pitches are stored as if the tonic were C: a piece in any key is learned in all of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from genloom.capabilities import TokenConstraint, TokenContextReader
from genloom.codecs.codec_json import damaged_error, read_table, write_config
from genloom.codecs.notes_tasks import draw_hidden
from genloom.errors import format_message
from genloom.media.music.controls import read_words
from genloom.media.music.excerpts import draw_excerpt
from genloom.media.music.midi import round_bpm
from genloom.media.music.score import (
    DRUMS,
    MAX_BAR_TICKS,
    MODES,
    TICKS_PER_QUARTER,
    Key,
    Meter,
    Note,
    Part,
    Score,
    Tempo,
    find_key,
    fold_pitch,
    split_voices,
)
from genloom.types import TokenSpace

MAX_BARS, MAX_VOICES = 64, 16
MIN_METER_SHARE = 0.02  # of a style's pieces that have a meter, if it is not rare
MODE_NAMES = (*MODES, "")
METERS = tuple(
    (beats, unit)
    for unit in (2, 4, 8, 16)
    for beats in range(1, 17)
    if TICKS_PER_QUARTER <= 96 * beats // unit <= MAX_BAR_TICKS
)
BPMS = tuple(round_bpm(120 * 2 ** (step / 8)) for step in range(-16, 9))
VELOCITY_STEP, DEFAULT_VELOCITY = 16, 5  # levels; level 5 is velocity 80
HEADER = ("key", "mode", "meter", "tempo", "style", "density", "begins", "ends")
BLOCKS = {
    "end": 1,
    "fill": 1,
    "same": 1,  # another voice of the instrument before
    "rest": 1,
    "tie": 1,
    "key": 13,  # the last: no key, pitches as they are
    "mode": len(MODE_NAMES),
    "meter": len(METERS),
    "tempo": len(BPMS),
    "style": 32,  # the first: no style
    "density": 8,
    "begins": 2,
    "ends": 2,
    "instrument": 129,
    "bar": MAX_BARS,  # bars left after this one
    "part": MAX_VOICES,
    "position": MAX_BAR_TICKS,
    "note": 128,
    "velocity": 8,
}
OFFSETS = dict(zip(BLOCKS, np.cumsum([0, *BLOCKS.values()]).tolist(), strict=False))
VOCAB_SIZE = sum(BLOCKS.values())
END, FILL, SAME, REST, TIE = (OFFSETS[name] for name in ("end", "fill", "same", "rest", "tie"))
BLOCK_NAMES = tuple(name for name, size in BLOCKS.items() for _ in range(size))
Cell = tuple[int, int]  # bar, voice


def to_token(block: str, value: int = 0) -> int:
    return OFFSETS[block] + value


def from_token(token: int) -> tuple[str, int]:
    """Return the block of a token, and its value in the block."""
    name = BLOCK_NAMES[token]
    return name, token - OFFSETS[name]


@dataclass(frozen=True)
class Config:
    """Context length of the models that read this codec."""

    context_length: int = 1024


@dataclass(frozen=True)
class StoredConfig:
    """The configuration in the folder of a codec."""

    styles: tuple[str, ...]
    context_length: int
    max_voices: tuple[int, ...]
    meters: tuple[tuple[int, ...], ...]


@dataclass
class Voice:
    """A line of notes without overlaps, of an instrument."""

    program: int
    notes: list[Note] = field(default_factory=list)
    continues: bool = False  # whether it belongs to the part of the voice before


def list_voices(score: Score) -> list[Voice]:
    """Return the voices of all parts from top to bottom, at most MAX_VOICES."""
    voices = [
        Voice(part.program, list(line), continues=index > 0)
        for part in score.parts
        for index, line in enumerate(split_voices(part.notes) or [()])
    ]
    return voices[:MAX_VOICES]


def measure_density(score: Score) -> int:
    """Return the level of notes a quarter and voice: 0 for a quarter of a note or fewer, two levels an octave."""
    voices = max(len(list_voices(score)), 1)
    per_quarter = score.num_notes * TICKS_PER_QUARTER / max(score.end, 1) / voices
    return int(np.clip(np.floor(2 * np.log2(max(per_quarter, 1e-6)) + 4), 0, 7))


@dataclass(frozen=True)
class Codec:
    """The styles of its data, by the number of their token, with what is usual in them; and the context length."""

    styles: tuple[str, ...] = ()
    config: Config = field(default_factory=Config)
    max_voices: tuple[int, ...] = ()  # of most pieces of each style; (): unknown
    meters: tuple[tuple[int, ...], ...] = ()  # of each style, without rare ones; (): unknown

    @classmethod
    def fit(cls, items: Iterable[Score], config: Config) -> "Codec":
        voices: dict[str, list[int]] = {}
        meters: dict[str, Counter[int]] = {}
        for score in items:
            voices.setdefault(score.style, []).append(len(list_voices(score)))
            meters.setdefault(score.style, Counter())[find_meter(score.meters[0])] += 1
        styles = sorted((style for style in voices if style), key=lambda style: (-len(voices[style]), style))
        styles = styles[: BLOCKS["style"] - 1]
        usual = [
            tuple(
                sorted(meter for meter, count in meters[style].items() if count >= MIN_METER_SHARE * len(voices[style]))
            )
            for style in styles
        ]
        max_voices = tuple(int(np.quantile(voices[style], 0.9)) for style in styles)
        return cls(tuple(styles), config, max_voices, tuple(usual))

    @property
    def space(self) -> TokenSpace:
        return TokenSpace(VOCAB_SIZE, self.config.context_length, bos=END, eos=END)

    @cached_property
    def style_ids(self) -> dict[str, int]:
        return {style: index for index, style in enumerate(self.styles, start=1)}

    def encode(self, value: Score) -> np.ndarray:
        """Return the tokens of a score of up to 64 bars; bars and voices beyond are left out."""
        return self.encode_task(value, frozenset())

    def encode_many(self, values: Iterable[Score]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def encode_task(self, score: Score, known: frozenset[Cell]) -> np.ndarray:
        """Return the tokens of a score whose `known` cells stand before FILL, the others after it."""
        voices, bars = list_voices(score), score.bars[:MAX_BARS]
        cells = [(bar, voice) for bar in range(len(bars)) for voice in range(len(voices))]
        todo = [cell for cell in cells if cell not in known]
        given = [cell for cell in cells if cell in known]
        content = encode_cells(score, voices, bars)
        tokens = [*self.encode_header(score, voices), *self._join(given, content, len(bars)), FILL]
        return np.array(tokens + self._join(todo, content, len(bars)), np.int64)

    def encode_header(self, score: Score, voices: Sequence[Voice]) -> list[int]:
        key, tempo = score.key, score.tempos[0].bpm
        values = {
            "key": 12 if key is None else key.tonic,
            "mode": MODE_NAMES.index("" if key is None else key.mode),
            "meter": find_meter(score.meters[0]),
            "tempo": find_tempo(tempo),
            "style": self.style_ids.get(score.style, 0),
            "density": measure_density(score),
            "begins": int(score.begins),
            "ends": int(score.ends),
        }
        instruments = [SAME if voice.continues else to_token("instrument", voice.program) for voice in voices]
        return [to_token(name, values[name]) for name in HEADER] + instruments

    def _join(self, cells: Sequence[Cell], content: dict[Cell, list[int]], num_bars: int) -> list[int]:
        tokens, last_bar = [], -1
        for bar, voice in cells:
            if bar != last_bar:
                tokens += [to_token("bar", num_bars - 1 - bar), *content[bar, -1]]
                last_bar = bar
            tokens += [to_token("part", voice), *content[bar, voice]]
        return tokens

    def encode_variants(self, value: Score, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the tokens for training and where they count in the loss: the score, an excerpt, tasks of filling.

        An excerpt is some whole phrases, so that models learn short pieces too. A task hides a range of bars, some
        voices, the end, or random cells of the score or the excerpt.
        """
        excerpt = draw_excerpt(value, rng)
        scores = [value] if excerpt is None else [value, excerpt]
        plain = [self.encode(score) for score in scores]
        tasks = [task for score in (value, scores[-1]) if (task := self.draw_task(score, rng)) is not None]
        return [
            *((ids, np.ones(len(ids), bool)) for ids in plain),
            *((ids, np.arange(len(ids)) > int(np.flatnonzero(ids == FILL)[0])) for ids in tasks),
        ]

    def draw_task(self, score: Score, rng: np.random.Generator) -> np.ndarray | None:
        """Return the tokens of a task of filling; None for a score of one cell."""
        voices, num_bars = len(list_voices(score)), len(score.bars[:MAX_BARS])
        if voices * num_bars < 2:
            return None
        hidden = draw_hidden(num_bars, voices, rng)
        return self.encode_task(
            score, frozenset((b, v) for b in range(num_bars) for v in range(voices) if not hidden[b, v])
        )

    def decode(self, x: Sequence[int] | np.ndarray) -> Score:
        """Return the score of any tokens; those that do not fit are ignored."""
        return decode_tokens([int(token) for token in x], self.styles)

    def decode_many(self, x: Iterable[Sequence[int] | np.ndarray]) -> list[Score]:
        return [self.decode(row) for row in x]

    def build_constraint(self, prompts: Sequence[str], max_length: int) -> TokenConstraint:
        """Return the tokens that make a valid score, with what the words of each prompt ask for."""
        from genloom.codecs.notes_grammar import NEW_PIECE_RULES, NotesConstraint

        controls = [read_words(prompt) for prompt in prompts]
        return NotesConstraint(controls, self, NEW_PIECE_RULES, max_length=max_length)

    def read_token_contexts(self) -> TokenContextReader:
        """Return a reader of the contexts of marks, which a transposition and a MIDI file keep."""
        from genloom.codecs.notes_marks import NotesContexts

        return NotesContexts()

    def list_encodings(self, value: Score) -> list[np.ndarray]:
        """Return the tokens of a score in its key, and in the one that its pitches suggest: files get keys wrong."""
        keys = dict.fromkeys((value.key, find_key(value)))
        return [self.encode(replace(value, key=key)) for key in keys]

    def save(self, folder: Path) -> None:
        write_config(
            folder, "notes", StoredConfig(self.styles, self.config.context_length, self.max_voices, self.meters)
        )

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        path = folder / "codec.json"
        content = read_table(path, "notes")
        content = {"max_voices": [], "meters": [], **content}
        names = ("styles", "context_length", "max_voices", "meters")
        styles, length, voices, meters = (content.get(name) for name in names)
        is_valid = (
            set(content) == {*names}
            and isinstance(styles, list)
            and isinstance(voices, list)
            and len(voices) in (0, len(styles))
            and all(type(count) is int and 1 <= count <= MAX_VOICES for count in voices)
            and isinstance(meters, list)
            and len(meters) in (0, len(styles))
            and all(isinstance(usual, list) and usual for usual in meters)
            and all(type(meter) is int and 0 <= meter < len(METERS) for usual in meters for meter in usual)
            and len(styles) < BLOCKS["style"]
            and all(isinstance(style, str) and len(style) <= 80 for style in styles)
            and type(length) is int
            and 2 <= length <= 1 << 16
        )
        if not is_valid:
            raise damaged_error(path, format_message("codecs.wrong_codec_keys", keys="codec, styles, context_length"))
        return cls(tuple(styles), Config(length), tuple(voices), tuple(map(tuple, meters)))


def find_meter(meter: Meter) -> int:
    """Return the number of a meter; another one of the same length, or 4/4, if it has none."""
    if (meter.beats, meter.unit) in METERS:
        return METERS.index((meter.beats, meter.unit))
    return next((i for i, (b, u) in enumerate(METERS) if 96 * b // u == meter.bar_ticks), METERS.index((4, 4)))


def find_tempo(bpm: float) -> int:
    return int(np.argmin(np.abs(np.log(np.array(BPMS) / bpm))))


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
