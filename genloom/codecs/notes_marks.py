"""The contexts of marks in scores: intervals and places in the bar, which a transposition and a MIDI file keep.

A voice is read by itself. A token in a cell is keyed by the last changes of its voice: their places in the bar, and the
interval to the note before, "rest" or "tie". So a mark depends on no key, octave, style, tempo or instrument, and on no
number of bars. What the order of the cells decides is not keyed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from genloom.codecs.notes_vocabulary import BLOCKS, END, OFFSETS, VOCAB_SIZE, from_token, to_token
from genloom.types import TokenContext

NUM_CHANGES = 4  # of a voice that key the noise
_INTERVAL = VOCAB_SIZE  # of hashes: 255 intervals, and the ends of a cell
_CELL_END = _INTERVAL + 256
_NO_PITCH = -1
Change = tuple[int, int]  # place in the bar, and interval or token


@dataclass
class VoiceState:
    """The changes of a voice by bar (bars left), and its pitch at the end of each bar."""

    changes: dict[int, list[Change]] = field(default_factory=dict)
    pitches: dict[int, int] = field(default_factory=dict)


@dataclass
class RowState:
    """The state of reading a row."""

    num_read: int = 0
    num_voices: int = 0
    bar: int = -1  # bars left
    voice: int = -1
    place: int = 0  # in the bar
    partial: tuple[int, ...] = ()  # what was read of the next change: its place and velocity
    earlier: tuple[Change, ...] = ()  # the last changes of the voice in the bars before
    voices: dict[int, VoiceState] = field(default_factory=dict)
    windows: set[tuple[int, ...]] = field(default_factory=set)

    def read(self, token: int) -> None:
        name, value = from_token(token)
        if name in ("instrument", "same") and self.bar < 0:
            self.num_voices += 1
        elif name == "bar":
            self.bar, self.voice, self.partial = value, -1, ()
        elif name == "part" and self.bar >= 0:
            self.voice, self.place, self.partial = value, 0, ()
            state = self.voices.setdefault(value, VoiceState())
            state.changes[self.bar], state.pitches[self.bar] = [], self.find_pitch(state)
            self.earlier = self.find_earlier(state)
        elif self.voice >= 0 and name in ("position", "velocity"):
            self.place = value if name == "position" else self.place
            self.partial = (*self.partial, token)
        elif self.voice >= 0 and name in ("note", "rest", "tie"):
            state = self.voices[self.voice]
            pitch, kind = state.pitches[self.bar], token
            if name == "note":
                kind = _INTERVAL + 128 + value - (value if pitch == _NO_PITCH else pitch)
                state.pitches[self.bar] = value
            state.changes[self.bar].append((self.place, kind))
            self.partial = ()

    def find_pitch(self, state: VoiceState) -> int:
        """Return the last pitch of a voice before the bar: more bars are left of earlier ones."""
        earlier = [left for left in state.pitches if left > self.bar]
        return state.pitches[min(earlier)] if earlier else _NO_PITCH

    def find_earlier(self, state: VoiceState) -> tuple[Change, ...]:
        """Return the last changes of a voice before the bar, which stay while the bar is read."""
        changes: list[Change] = []
        for left in sorted(left for left in state.changes if left > self.bar):
            if len(changes) >= NUM_CHANGES:
                break
            changes = [*state.changes[left], *changes]
        return tuple(changes[-NUM_CHANGES:])

    def find_window(self) -> tuple[int, ...] | None:
        """Return the last changes of the voice and what was read of the next; None outside of a cell, or too early."""
        if self.voice < 0:
            return None
        changes = self.voices[self.voice].changes[self.bar]
        # A cell is at its beginning until its first change: then no change ends it.
        is_begun = int(bool(changes))
        last = [*self.earlier, *changes[-NUM_CHANGES:]][-NUM_CHANGES:]
        if len(last) < NUM_CHANGES:
            return None
        return (*(part for change in last for part in change), *self.partial, is_begun)

    def list_hashes(self) -> np.ndarray:
        """Return the hashes of all tokens: intervals for notes, and one for the token that ends the cell."""
        if self.voice < 0:
            return _list_hashes(_NO_PITCH, -1)
        return _list_hashes(self.voices[self.voice].pitches[self.bar], self._find_next_cell())

    def _find_next_cell(self) -> int:
        """Return the token after the cell, if all cells follow in order."""
        if self.voice + 1 < self.num_voices:
            return to_token("part", self.voice + 1)
        return to_token("bar", self.bar - 1) if self.bar > 0 else END


@lru_cache(maxsize=1024)
def _list_hashes(pitch: int, cell_end: int) -> np.ndarray:
    """Return the hashes of all tokens after a pitch, if this token ends the cell (-1: none does)."""
    hashes = np.arange(VOCAB_SIZE)
    first = OFFSETS["note"]
    if pitch != _NO_PITCH:
        hashes[first : first + BLOCKS["note"]] = _INTERVAL + 128 + np.arange(BLOCKS["note"]) - pitch
    if cell_end >= 0:
        hashes[cell_end] = _CELL_END
    hashes.flags.writeable = False
    return hashes


class NotesContexts:
    """The contexts of the rows of a sampler; each row is read once, from its first token."""

    def __init__(self) -> None:
        self.rows: list[RowState] = []

    def __call__(self, contexts: Sequence[np.ndarray]) -> list[TokenContext]:
        """Return the context of the next token of each row."""
        self.rows += [RowState() for _ in range(len(contexts) - len(self.rows))]
        return [self._read_row(row, context) for row, context in zip(self.rows, contexts, strict=True)]

    def _read_row(self, row: RowState, context: np.ndarray) -> TokenContext:
        for token in context[max(row.num_read, 1) :].tolist():  # the first is BOS, which is END too
            row.read(int(token))
        row.num_read = len(context)
        window = row.find_window()
        if window is not None:
            if window in row.windows:
                window = None
            else:
                row.windows.add(window)
        return TokenContext(window, row.list_hashes())
