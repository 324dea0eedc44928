"""Features of what people hear first: length, pitch, brightness, attack and noise, on scales of hearing, and bands."""

import numpy as np

from genloom.media.audio.measures import measure_sound, scale_measures
from genloom.media.audio.sound import Sound
from genloom.media.audio.spectrum import average_parts, compute_mel_decibels

BANDS, PARTS = 8, 4  # of the spectrum, and of the length


def measure_style_features(sound: Sound) -> np.ndarray:
    """Return the features, float32: five measures, and the levels of mel bands in quarters of the sound."""
    own = scale_measures(measure_sound(sound))
    levels = compute_mel_decibels(sound, BANDS, floor=-80.0)
    return np.concatenate([own, *average_parts(levels, PARTS) / 40]).astype(np.float32)
