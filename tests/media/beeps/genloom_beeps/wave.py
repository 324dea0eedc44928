"""Melodies of sixteen notes as a signal in time, from -1 for the lowest pitch to 1 for the highest."""

from collections.abc import Sequence

import numpy as np

from genloom.types import SignalSpace
from genloom_beeps import MAX_NOTES, NUM_PITCHES, Melody, notes
from genloom_beeps.notes import Config as Config


class Codec(notes.Codec):
    @property
    def space(self) -> SignalSpace:
        return SignalSpace(1, (MAX_NOTES,))

    def encode(self, value: Melody) -> np.ndarray:
        return (np.resize(value, (1, MAX_NOTES)) / 1.5 - 1).astype(np.float32)  # a short melody repeats

    def decode(self, x: Sequence[int] | np.ndarray) -> Melody:
        pitches = np.rint((np.asarray(x)[0] + 1) * 1.5).clip(0, NUM_PITCHES - 1)
        return tuple(map(int, pitches))
