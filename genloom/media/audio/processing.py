"""Changes of sounds: their rate, channels, loudness, edges and silence.

Shape letters: C channels, N samples of a channel.
"""

from collections.abc import Sequence

import numpy as np

from genloom.media.audio.libraries import load_library
from genloom.media.audio.sound import Sound, make_sound, require_rate

BLOCK_SECONDS = 0.01  # in which silence is looked for
MARGIN_SECONDS = 0.02  # of silence that stay
LOUDNESS_SECONDS = 0.4  # of a block in which loudness is measured (EBU R 128)
SILENT_LUFS = -70.0  # the gate below which nothing counts
PEAK = 0.97
KNEE = 0.8  # from which peaks are limited softly


def change_rate(sound: Sound, rate: int) -> Sound:
    """Return the sound at this rate."""
    require_rate(rate)
    if rate == sound.rate:
        return sound
    soxr = load_library("soxr")
    samples = soxr.resample(np.ascontiguousarray(sound.samples.T), sound.rate, rate, quality="VHQ").T
    return make_sound(samples if samples.shape[1] else sound.samples[:, :1], rate)


def mix_to_mono(sound: Sound) -> Sound:
    """Return the mean of the channels."""
    return sound if sound.channels == 1 else make_sound(sound.samples.mean(0), sound.rate)


def trim_silence(sound: Sound, below_db: float = -50.0) -> Sound:
    """Return the sound without the silence at its ends, which is `below_db` below its loudest moment."""
    size = max(round(BLOCK_SECONDS * sound.rate), 1)
    levels = measure_levels(sound.samples, size)
    if not levels.max() > 0:
        return sound
    loud = np.flatnonzero(levels > levels.max() * 10 ** (below_db / 20))
    margin = round(MARGIN_SECONDS * sound.rate)
    return sound.cut(max(loud[0] * size - margin, 0), min((loud[-1] + 1) * size + margin, sound.frames))


def measure_levels(samples: np.ndarray, size: int) -> np.ndarray:
    """Return the root mean square of every block of `size` samples; the last may be shorter."""
    power = (samples.astype(np.float64) ** 2).mean(0)
    starts = np.arange(0, len(power), size)
    return np.sqrt(np.add.reduceat(power, starts) / np.diff([*starts, len(power)]))


def measure_loudness(sound: Sound) -> float:
    """Return the integrated loudness in LUFS (EBU R 128), at least -70; shorter sounds than a block are padded."""
    pyloudnorm = load_library("pyloudnorm")
    samples, size = sound.samples.T.astype(np.float64), round(LOUDNESS_SECONDS * sound.rate) + 1
    if len(samples) < size:
        samples = np.pad(samples, ((0, size - len(samples)), (0, 0)))
    if not np.abs(samples).max() > 0:
        return SILENT_LUFS
    with np.errstate(divide="ignore", invalid="ignore"):
        loudness = float(pyloudnorm.Meter(sound.rate).integrated_loudness(samples))
    return max(loudness, SILENT_LUFS) if np.isfinite(loudness) else SILENT_LUFS


def set_loudness(sound: Sound, lufs: float) -> Sound:
    """Return the sound at this loudness; peaks above 0.8 are limited softly, and silence stays silence."""
    loudness = measure_loudness(sound)
    if loudness <= SILENT_LUFS:
        return sound
    return make_sound(limit_peaks(sound.samples * 10 ** ((lufs - loudness) / 20)), sound.rate)


def limit_peaks(samples: np.ndarray) -> np.ndarray:
    """Return samples below 0.97: those above 0.8 are bent towards it."""
    magnitudes = np.abs(samples)
    limited = KNEE + (PEAK - KNEE) * np.tanh((magnitudes - KNEE) / (PEAK - KNEE))
    return np.where(magnitudes > KNEE, np.sign(samples) * limited, samples)


def fade_edges(sound: Sound, seconds: float = 0.005) -> Sound:
    """Return the sound with its first and last milliseconds faded, so that it neither begins nor ends with a click."""
    length = min(round(seconds * sound.rate), sound.frames // 2)
    if not length:
        return sound
    ramp, samples = np.linspace(0, 1, length + 1, dtype=np.float32)[1:], sound.samples.copy()
    samples[:, :length] *= ramp
    samples[:, sound.frames - length :] *= ramp[::-1]
    return make_sound(samples, sound.rate)


def join_sounds(sounds: Sequence[Sound]) -> Sound:
    """Return the sounds one after the other, at the rate and with the channels of the first."""
    first = sounds[0]
    parts = []
    for sound in sounds:
        samples = change_rate(sound, first.rate).samples
        if len(samples) != first.channels:
            samples = np.repeat(samples.mean(0, keepdims=True), first.channels, 0)
        parts.append(samples)
    return make_sound(np.concatenate(parts, 1), first.rate)
