"""Melodies of sixteen notes as a signal over bars, beats and pitches: 1 where a note is, -1 elsewhere."""

from collections.abc import Sequence

import numpy as np

from genloom.types import SignalSpace
from genloom_beeps import MAX_NOTES, NUM_PITCHES, Melody, pitches
from genloom_beeps.pitches import Config as Config


class Codec(pitches.Codec):
    @property
    def space(self) -> SignalSpace:
        return SignalSpace(1, (4, 4, NUM_PITCHES))

    def encode(self, value: Melody) -> np.ndarray:
        is_played = np.arange(NUM_PITCHES) == np.resize(value, MAX_NOTES)[:, None]
        return (2 * is_played - 1).astype(np.float32).reshape(1, 4, 4, NUM_PITCHES)

    def decode(self, x: Sequence[int] | np.ndarray) -> Melody:
        return tuple(map(int, np.asarray(x)[0].reshape(MAX_NOTES, NUM_PITCHES).argmax(1)))
