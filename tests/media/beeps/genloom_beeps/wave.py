"""Melodies as a signal in time, from -1 for the lowest pitch to 1 for the highest; they may be of any length."""

from collections.abc import Sequence

import numpy as np

from genloom.types import SignalSpace
from genloom_beeps import MAX_NOTES, NUM_PITCHES, Melody, pitches
from genloom_beeps.pitches import Config as Config


class Codec(pitches.Codec):
    @property
    def space(self) -> SignalSpace:
        return SignalSpace(1, (MAX_NOTES,), has_lengths=True)

    def encode(self, value: Melody) -> np.ndarray:
        return np.array([value], np.float32) / 1.5 - 1

    def decode(self, x: Sequence[int] | np.ndarray) -> Melody:
        pitches = np.rint((np.asarray(x)[0] + 1) * 1.5).clip(0, NUM_PITCHES - 1)
        return tuple(map(int, pitches))
