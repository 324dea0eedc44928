"""Which tokens of the codec "notes" may follow: valid scores only, with the controls and the bars that were asked for.

Shape letters: B rows, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from genloom.codecs.notes import Codec
from genloom.codecs.notes_vocabulary import (
    BLOCKS,
    END,
    FILL,
    HEADER,
    METERS,
    MODE_NAMES,
    OFFSETS,
    REST,
    SAME,
    TIE,
    VOCAB_SIZE,
    Cell,
    find_meter,
    find_tempo,
    from_token,
    to_token,
)
from genloom.media.music.controls import Controls
from genloom.media.music.score import DRUMS, MODES, Meter
from genloom.media.music.theory import find_range


@dataclass(frozen=True)
class Rules:
    """The rules for generated notes."""

    in_key: bool = False  # only notes of the scale
    in_range: bool = True  # only notes that the instrument plays
    is_crossing_free: bool = False  # a voice stays below the one above it
    is_parallel_free: bool = False  # no parallel fifths, octaves and unisons with the voices above
    grid: int = 1  # ticks between possible onsets


NEW_PIECE_RULES = Rules(is_crossing_free=True, is_parallel_free=True)


@dataclass
class RowState:
    """The position in a row up to which it has been read."""

    num_read: int = 0
    slot: int = 0  # in the header; len(HEADER): instruments
    values: dict[str, int] = field(default_factory=dict)
    programs: list[int] = field(default_factory=list)
    is_filling: bool = False
    num_bars: int = 0
    num_changes: int = 0  # of meter and tempo that were read in the bar
    bar: int = -1  # from the beginning
    voice: int = -1
    position: int = -1  # of the last state in the cell, -1 before the first
    is_after_position: bool = False
    has_velocity: bool = False
    sounding: dict[Cell, list[tuple[int, int]]] = field(default_factory=dict)  # position and pitch; -1 is silence
    meters: dict[int, int] = field(default_factory=dict)  # of the bars that change it
    todo: list[Cell] | None = None
    max_rest_bars: int = 0  # in a row in which a voice may be silent; 0: any number


CELL_TOKENS = 2  # PART and a state: the shortest cell
CHANGE_TOKENS = 3  # a position, a velocity and a state
MAX_REST_BARS = 2  # of a voice of the instruments that were asked for, in a new piece
MIN_TYPICAL_TOKENS = 5  # of a cell, with which most pieces can be written


def limit_bars(controls: Controls, max_length: int) -> Controls:
    """Return the controls with as many bars as fit with their voices, if more are asked for."""
    num_voices = len(controls.programs or (0,))
    room = max_length - len(HEADER) - num_voices - 3  # BOS, FILL, END
    most = min(max(room // (1 + MIN_TYPICAL_TOKENS * num_voices), 1), BLOCKS["bar"])
    return replace(controls, bars=most) if controls.bars is not None and controls.bars > most else controls


class NotesConstraint:
    """The tokens that may follow in each row of a batch; each row is read once, from its first token.

    `cells` are those to generate in each row; without them, all. `changes` are the tokens of meter and tempo that a bar
    begins with. A row of `max_length` tokens, BOS included, is complete: towards the end its cells get shorter. With
    `cells`, `num_bars` are those of the whole piece. `unread` are the words of each prompt without a meaning here.
    """

    def __init__(
        self,
        controls: Sequence[Controls],
        codec: Codec,
        rules: Rules = Rules(),
        cells: Sequence[Sequence[Cell]] | None = None,
        changes: Mapping[int, Sequence[int]] = {},
        max_length: int = 0,
        num_bars: int = 0,
        unread: Sequence[Sequence[str]] = (),
    ):
        self.codec, self.rules, self.cells = codec, rules, cells
        self.changes, self.max_length, self.unread = changes, max_length or 1 << 30, unread or [()] * len(controls)
        self.controls = [each if cells else limit_bars(each, self.max_length) for each in controls]
        self.rows = [
            RowState(num_bars=num_bars, max_rest_bars=MAX_REST_BARS * (cells is None and each.programs is not None))
            for each in controls
        ]

    def describe(self) -> list[str]:
        """Return the controls and the rules of each row in words; those of every new piece are left out."""
        rules = ["in key"] * self.rules.in_key
        if self.cells is not None:
            rules += ["no crossing"] * self.rules.is_crossing_free + ["no parallels"] * self.rules.is_parallel_free
        read = [", ".join(filter(None, [controls.describe(), *rules])) for controls in self.controls]
        left = [f"left to the model: {', '.join(words)}" if words else "" for words in self.unread]
        return ["; ".join(filter(None, parts)) for parts in zip(read, left, strict=True)]

    def __call__(self, contexts: Sequence[np.ndarray]) -> np.ndarray:
        """Return which tokens may follow each context, B V; a context begins with the tokens that were seen before."""
        allowed = np.zeros((len(contexts), VOCAB_SIZE), bool)
        for row, context in enumerate(contexts):
            state = self.rows[row]
            for token in context[max(state.num_read, 1) :]:  # the first is BOS
                self.read(state, int(token))
            state.num_read = len(context)
            allowed[row, self.list_allowed(state, row)] = True
        return allowed

    def read(self, state: RowState, token: int) -> None:
        """Advance the state by a token."""
        name, value = from_token(token)
        if name in HEADER and state.slot < len(HEADER) and name == HEADER[state.slot]:
            state.values[name] = value
            state.slot += 1
        elif name in ("instrument", "same"):
            state.programs.append(value if name == "instrument" else state.programs[-1])
        elif name == "fill":
            state.is_filling, state.bar, state.voice = True, -1, -1
        elif name == "bar":
            state.num_bars = state.num_bars or value + 1
            state.bar, state.voice, state.num_changes = state.num_bars - 1 - value, -1, 0
        elif name in ("meter", "tempo"):
            state.num_changes += 1
            if name == "meter":
                state.meters[state.bar] = value
        elif name == "part":
            state.voice, state.position, state.is_after_position, state.has_velocity = value, -1, False, False
            state.sounding[state.bar, value] = []
            if state.is_filling and state.todo is not None and (state.bar, value) in state.todo:
                state.todo.remove((state.bar, value))
        elif name == "position":
            state.position, state.is_after_position, state.has_velocity = value, True, False
        elif name == "velocity":
            state.has_velocity = True
        elif name in ("note", "rest", "tie"):
            state.position = max(state.position, 0)
            state.is_after_position = state.has_velocity = False
            pitch = value if name == "note" else -1
            if name == "tie":
                pitch = self.find_sounding_end(state, (state.bar - 1, state.voice))
            state.sounding[state.bar, state.voice].append((state.position, pitch))

    def find_sounding_end(self, state: RowState, cell: Cell) -> int:
        """Return the pitch that sounds at the end of a cell; -1 for silence, or if the cell is not known."""
        events = state.sounding.get(cell)
        return events[-1][1] if events else -1

    def list_allowed(self, state: RowState, row: int) -> list[int]:
        controls = self.controls[row]
        if state.slot < len(HEADER):
            return self.list_header(state, controls)
        if not state.is_filling:
            return self.list_instruments(state, controls)
        if state.todo is None and state.num_bars:
            voices = range(len(state.programs))
            cells = [(b, v) for b in range(state.num_bars) for v in voices if (b, v) not in state.sounding]
            state.todo = cells if self.cells is None else list(self.cells[row])
        if state.bar < 0 or state.todo is None:
            return self.list_first_bars(state, row)
        if state.voice < 0:
            changes = self.changes.get(state.bar, ())
            return [
                changes[state.num_changes] if state.num_changes < len(changes) else to_token("part", state.todo[0][1])
            ]
        if state.is_after_position or state.position < 0:
            return self.list_states(state)
        return self.list_continuations(state)

    def list_header(self, state: RowState, controls: Controls) -> list[int]:
        name = HEADER[state.slot]
        choices: Sequence[int] = range(BLOCKS[name])
        if name == "key" and controls.key is not None:
            choices = [controls.key.tonic]
        elif name == "key" and controls.mode is not None:
            choices = range(12)
        elif name == "mode" and (mode := controls.key.mode if controls.key else controls.mode):
            choices = [MODE_NAMES.index(mode)]
        elif name == "mode":
            choices = [MODE_NAMES.index("")] if state.values["key"] == 12 else range(len(MODES))
        elif name == "meter" and controls.meter is not None:
            choices = [find_meter(Meter(0, *controls.meter))]
        elif name == "meter" and self.codec.meters and controls.style in self.codec.styles:
            choices = self.codec.meters[self.codec.styles.index(controls.style)]
        elif name == "tempo" and controls.bpm is not None:
            choices = [find_tempo(controls.bpm)]
        elif name == "style":
            choices = self.list_styles(controls)
        elif name == "density" and controls.density is not None:
            choices = [controls.density]
        elif name in ("begins", "ends"):
            choices = [1]
        return [to_token(name, value) for value in choices]

    def list_styles(self, controls: Controls) -> Sequence[int]:
        """List the style that was asked for, or those that have as many voices as instruments were asked for."""
        styles, num_voices = self.codec.styles, len(controls.programs or ())
        if controls.style in styles:
            return [styles.index(controls.style) + 1]
        fitting = [n for n, count in enumerate(self.codec.max_voices, start=1) if count >= num_voices > 0]
        return fitting or range(len(styles) + 1)

    def list_instruments(self, state: RowState, controls: Controls) -> list[int]:
        count = len(state.programs)
        if controls.programs is not None:
            return [to_token("instrument", controls.programs[count])] if count < len(controls.programs) else [FILL]
        instruments = list(range(OFFSETS["instrument"], OFFSETS["instrument"] + BLOCKS["instrument"]))
        bars = controls.bars or 1
        num_tokens = state.num_read + 3 + bars * (1 + MIN_TYPICAL_TOKENS * (count + 1))
        if count and (count == BLOCKS["part"] or num_tokens > self.max_length):
            return [FILL]
        return instruments if not count else [*instruments, SAME, FILL]

    def list_first_bars(self, state: RowState, row: int) -> list[int]:
        bars = self.controls[row].bars
        if state.todo:
            return [to_token("bar", state.num_bars - 1 - state.todo[0][0])]
        if bars is not None:
            return [to_token("bar", bars - 1)]
        most = (self.max_length - state.num_read - 1) // (1 + MIN_TYPICAL_TOKENS * len(state.programs))
        return [to_token("bar", value) for value in range(min(max(most, 1), BLOCKS["bar"]))]

    def get_bar_ticks(self, state: RowState) -> int:
        number = state.values["meter"]
        for bar in sorted(state.meters):
            if bar <= state.bar:
                number = state.meters[bar]
        return Meter(0, *METERS[number]).bar_ticks

    def list_states(self, state: RowState) -> list[int]:
        """List what can begin at the position: notes, a rest where something sounded, a tie at the bar line."""
        events = state.sounding[state.bar, state.voice]
        notes = self.list_notes(state)
        if state.has_velocity:
            return notes
        has_room = notes and self.has_room(state, 2)
        velocities = list(range(OFFSETS["velocity"], OFFSETS["velocity"] + BLOCKS["velocity"])) if has_room else []
        if events:
            rests = [REST] if events[-1][1] >= 0 else []
            return [*notes, *velocities, *rests] or [REST]
        ties = [TIE] if self.find_sounding_end(state, (state.bar - 1, state.voice)) >= 0 else []
        rests = [] if notes and self.has_long_rest(state) else [REST]
        return [*notes, *velocities, *rests, *ties]

    def has_long_rest(self, state: RowState) -> bool:
        """Return whether the voice has been silent for as many bars as it may be, or all voices in a new piece."""
        bar, voices = state.bar, range(len(state.programs))
        own = [(each, state.voice) for each in range(bar - state.max_rest_bars, bar)]
        last = [(each, voice) for each in (bar - 1, bar) for voice in voices if (each, voice) != (bar, state.voice)]
        return any(
            cells and all(pitch < 0 for cell in cells for _, pitch in state.sounding.get(cell, ((0, 0),)))
            for cells in (own, last if self.cells is None else [])
        )

    def list_notes(self, state: RowState) -> list[int]:
        program, rules = state.programs[state.voice], self.rules
        is_drum = program == DRUMS
        tonic = 0 if is_drum or state.values["key"] == 12 else state.values["key"]
        low, high = find_range(state.programs, state.voice) if rules.in_range and not is_drum else (0, 127)
        if rules.is_crossing_free and state.voice and not is_drum:
            above = self.find_pitch(state, state.voice - 1, max(state.position, 0))
            high = min(high, above + tonic) if above >= 0 else high
        mode = MODE_NAMES[state.values["mode"]]
        scale = MODES[mode] if rules.in_key and mode and not is_drum else range(12)
        parallels = self.list_parallels(state) if rules.is_parallel_free and not is_drum else frozenset()
        return [
            to_token("note", pitch - tonic)
            for pitch in range(max(low, tonic), min(high, 127) + 1)
            if (pitch - tonic) % 12 in scale and pitch - tonic not in parallels
        ]

    def list_parallels(self, state: RowState) -> frozenset[int]:
        """List the pitches with which the voice would follow one above it in fifths, octaves or unisons."""
        bar, position = state.bar, max(state.position, 0)
        previous = self.find_pitch_before(state, state.voice, position)
        found: set[int] = set()
        for voice in range(state.voice if previous >= 0 else 0):
            upper = self.find_pitch_before(state, voice, position)
            pitch = dict(state.sounding.get((bar, voice), ())).get(position, -1)
            interval = (upper - previous) % 12
            if upper < 0 or pitch < 0 or pitch == upper or interval not in (0, 7):
                continue
            moves = range(previous + 1, 128) if pitch > upper else range(previous)
            found.update(each for each in moves if (pitch - each) % 12 == interval)
        return frozenset(found)

    def find_pitch_before(self, state: RowState, voice: int, position: int) -> int:
        """Return the pitch that sounds in a voice until a position of the bar; -1 for silence."""
        events = [pitch for onset, pitch in state.sounding.get((state.bar, voice), ()) if onset < position]
        return events[-1] if events else self.find_sounding_end(state, (state.bar - 1, voice))

    def find_pitch(self, state: RowState, voice: int, position: int) -> int:
        """Return the pitch of a voice at a position of the bar; -1 if it rests or is not known."""
        events = [pitch for onset, pitch in state.sounding.get((state.bar, voice), []) if onset <= position]
        return events[-1] if events else -1

    def is_last_bar_silent(self, state: RowState) -> bool:
        """Return whether nothing has sounded in the last bar, which a piece of so many bars does not have."""
        cells = [state.sounding.get((state.num_bars - 1, voice), []) for voice in range(len(state.programs))]
        return all(pitch < 0 for cell in cells for _, pitch in cell)

    def has_room(self, state: RowState, num_tokens: int) -> bool:
        """Return whether the cells to come still fit after so many tokens."""
        assert state.todo is not None
        room = self.max_length - state.num_read - num_tokens - 1  # END
        if room >= (CELL_TOKENS + 3) * len(state.todo):  # with as many bars and changes as there can be
            return True
        bars = {bar for bar, _ in state.todo} - {state.bar}
        changes = sum(len(self.changes.get(bar, ())) for bar in bars)
        return room >= CELL_TOKENS * len(state.todo) + len(bars) + changes

    def list_continuations(self, state: RowState) -> list[int]:
        """List what can follow a state: a later position, or the next cell."""
        step, ticks = self.rules.grid, self.get_bar_ticks(state)
        first = (state.position // step + 1) * step
        assert state.todo is not None
        positions: list[int] = []
        if self.has_room(state, CHANGE_TOKENS):
            positions = [to_token("position", position) for position in range(first, ticks, step)]
        if not state.todo:
            return positions if positions and self.is_last_bar_silent(state) else [*positions, END]
        bar, voice = state.todo[0]
        follower = to_token("part", voice) if bar == state.bar else to_token("bar", state.num_bars - 1 - bar)
        return [*positions, follower]
