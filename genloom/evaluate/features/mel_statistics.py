"""Features of sounds: means and deviations of mel bands and of their changes, and a coarse spectrogram for near copies.

Shape letters: N sounds, T frames, M bands, D features.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from genloom.media.audio.measures import measure_sound, scale_measures
from genloom.media.audio.processing import mix_to_mono, trim_silence
from genloom.media.audio.sound import Sound
from genloom.media.audio.spectrum import average_parts, compute_mel_decibels

Extractor = Callable[[Iterable[Sound]], NDArray[np.float32]]

KEY = "mel-statistics-1"
BANDS, PARTS, HIGHEST_HZ, FLOOR_DB = 24, 6, 8_000.0, -90.0
COARSE_SIDE = 12
NUM_MEASURES = 6
WIDTH = BANDS * (PARTS + 2) + NUM_MEASURES


def build_extractor() -> Extractor:
    """Return a function from sounds to features, N D."""

    def extract(sounds: Iterable[Sound]) -> NDArray[np.float32]:
        rows = [compute_features(sound) for sound in sounds]
        return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

    return extract


def compute_features(sound: Sound) -> NDArray[np.float32]:
    """Return the features of a sound, each of about the same spread."""
    heard = trim_silence(mix_to_mono(sound))
    levels_TM = compute_mel_decibels(heard, BANDS, FLOOR_DB, min(HIGHEST_HZ, heard.rate / 2))
    levels_TM = (levels_TM - levels_TM.max()) / 30
    changes = np.abs(np.diff(levels_TM, axis=0, prepend=levels_TM[:1])).mean(0)
    own = scale_measures(measure_sound(sound))
    return np.concatenate([*average_parts(levels_TM, PARTS), levels_TM.std(0), 5 * changes, own]).astype(np.float32)


def compute_coarse_embedding(sound: Sound) -> NDArray[np.float32]:
    """Return the levels in 12 × 12 cells of the spectrogram, from 0 to 1, as one row."""
    heard = trim_silence(mix_to_mono(sound))
    levels_TM = compute_mel_decibels(heard, COARSE_SIDE, FLOOR_DB, min(HIGHEST_HZ, heard.rate / 2))
    return ((average_parts(levels_TM, COARSE_SIDE) - levels_TM.max()) / 60 + 1).clip(0, 1).astype(np.float32).ravel()
