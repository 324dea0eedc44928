"""Which tokens of the codec "notes" may follow: valid scores only, with the controls and the bars that were asked for.

Shape letters: B rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from genloom.codecs.notes import (
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
from genloom.media.music.controls import RANGES, Controls
from genloom.media.music.score import DRUMS, MODES, Meter


@dataclass(frozen=True)
class Rules:
    """What generated notes must keep to."""

    in_key: bool = False  # only notes of the scale
    in_range: bool = True  # only notes that the instrument plays
    is_crossing_free: bool = False  # a voice stays below the one above it
    grid: int = 1  # ticks between possible onsets


@dataclass
class RowState:
    """How far a row has been read."""

    num_read: int = 0
    slot: int = 0  # in the header; len(HEADER): instruments
    values: dict[str, int] = field(default_factory=dict)
    programs: list[int] = field(default_factory=list)
    is_filling: bool = False
    num_bars: int = 0
    bar: int = -1  # from the beginning
    voice: int = -1
    position: int = -1  # of the last state in the cell, -1 before the first
    is_after_position: bool = False
    has_velocity: bool = False
    sounding: dict[Cell, list[tuple[int, int]]] = field(default_factory=dict)  # position and pitch; -1 is silence
    meters: dict[int, int] = field(default_factory=dict)  # of the bars that change it
    todo: list[Cell] | None = None


class NotesConstraint:
    """The tokens that may follow in each row of a batch; each row is read once, from its first token."""

    def __init__(
        self,
        controls: Sequence[Controls],
        styles: Sequence[str],
        rules: Rules = Rules(),
        cells: Sequence[Cell] | None = None,
        has_changes: bool = False,
    ):
        self.controls, self.styles, self.rules, self.cells = controls, styles, rules, cells
        self.has_changes = has_changes  # whether meter and tempo may change at a bar
        self.rows = [RowState() for _ in controls]

    def __call__(self, contexts: Sequence[np.ndarray]) -> np.ndarray:
        """Return which tokens may follow each context, B V; a context begins with the tokens that were seen before."""
        allowed = np.zeros((len(contexts), VOCAB_SIZE), bool)
        for row, context in enumerate(contexts):
            state = self.rows[row]
            for token in context[max(state.num_read, 1) :]:  # the first is BOS
                self.read(state, int(token))
            state.num_read = len(context)
            allowed[row, self.list_allowed(state, self.controls[row])] = True
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
            state.bar, state.voice = state.num_bars - 1 - value, -1
        elif name == "meter":
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

    def list_allowed(self, state: RowState, controls: Controls) -> list[int]:
        if state.slot < len(HEADER):
            return self.list_header(state, controls)
        if not state.is_filling:
            return self.list_instruments(state, controls)
        if state.bar < 0:
            return self.list_first_bars(state, controls)
        if state.todo is None:
            cells = self.cells
            voices = range(len(state.programs))
            state.todo = list(cells) if cells is not None else [(b, v) for b in range(state.num_bars) for v in voices]
        if state.voice < 0:
            first = state.todo[0]
            changes = []
            if self.has_changes and state.bar not in state.meters:
                changes = list(range(OFFSETS["meter"], OFFSETS["meter"] + len(METERS)))
            return [to_token("part", first[1]), *changes]
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
        elif name == "tempo" and controls.bpm is not None:
            choices = [find_tempo(controls.bpm)]
        elif name == "style":
            choices = range(len(self.styles) + 1)
            if controls.style in self.styles:
                choices = [self.styles.index(controls.style) + 1]
        elif name == "density" and controls.density is not None:
            choices = [controls.density]
        elif name in ("begins", "ends"):
            choices = [1]
        return [to_token(name, value) for value in choices]

    def list_instruments(self, state: RowState, controls: Controls) -> list[int]:
        count = len(state.programs)
        if controls.programs is not None:
            return [to_token("instrument", controls.programs[count])] if count < len(controls.programs) else [FILL]
        instruments = list(range(OFFSETS["instrument"], OFFSETS["instrument"] + BLOCKS["instrument"]))
        if count == BLOCKS["part"]:
            return [FILL]
        return instruments if not count else [*instruments, SAME, FILL]

    def list_first_bars(self, state: RowState, controls: Controls) -> list[int]:
        if self.cells is not None:
            return [to_token("bar", state.num_bars - 1 - self.cells[0][0])]
        if controls.bars is not None:
            return [to_token("bar", controls.bars - 1)]
        return list(range(OFFSETS["bar"], OFFSETS["bar"] + BLOCKS["bar"]))

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
        velocities = list(range(OFFSETS["velocity"], OFFSETS["velocity"] + BLOCKS["velocity"])) if notes else []
        if events:
            rests = [REST] if events[-1][1] >= 0 else []
            return [*notes, *velocities, *rests] or [REST]
        ties = [TIE] if self.find_sounding_end(state, (state.bar - 1, state.voice)) >= 0 else []
        return [*notes, *velocities, REST, *ties]

    def list_notes(self, state: RowState) -> list[int]:
        program, rules = state.programs[state.voice], self.rules
        is_drum = program == DRUMS
        tonic = 0 if is_drum or state.values["key"] == 12 else state.values["key"]
        low, high = RANGES.get(program, (21, 108)) if rules.in_range and not is_drum else (0, 127)
        if rules.is_crossing_free and state.voice and not is_drum:
            above = self.find_pitch(state, state.voice - 1, max(state.position, 0))
            high = min(high, above + tonic) if above >= 0 else high
        mode = MODE_NAMES[state.values["mode"]]
        scale = MODES[mode] if rules.in_key and mode and not is_drum else range(12)
        return [
            to_token("note", pitch - tonic)
            for pitch in range(max(low, tonic), min(high, 127) + 1)
            if (pitch - tonic) % 12 in scale
        ]

    def find_pitch(self, state: RowState, voice: int, position: int) -> int:
        """Return the pitch of a voice at a position of the bar; -1 if it rests or is not known."""
        events = [pitch for onset, pitch in state.sounding.get((state.bar, voice), []) if onset <= position]
        return events[-1] if events else -1

    def list_continuations(self, state: RowState) -> list[int]:
        """List what can follow a state: a later position, or the next cell."""
        step, ticks = self.rules.grid, self.get_bar_ticks(state)
        first = (state.position // step + 1) * step
        positions = [to_token("position", position) for position in range(first, ticks, step)]
        assert state.todo is not None
        if not state.todo:
            return [*positions, END]
        bar, voice = state.todo[0]
        follower = to_token("part", voice) if bar == state.bar else to_token("bar", state.num_bars - 1 - bar)
        return [*positions, follower]
