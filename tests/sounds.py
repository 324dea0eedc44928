"""Sounds for tests: tones, noise and silence, from a seed."""

import numpy as np

from genloom.media.audio.sound import Sound, make_sound

RATE = 16_000


def make_tone(hertz: float, seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> Sound:
    times = np.arange(round(seconds * rate)) / rate
    return make_sound(np.tile(0.5 * np.sin(2 * np.pi * hertz * times) * np.exp(-4 * times), (channels, 1)), rate)


def make_noise(seed: int, seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> Sound:
    return make_sound(np.random.default_rng(seed).normal(0, 0.1, (channels, round(seconds * rate))), rate)


def make_tune(seed: int, seconds: float = 2.0, rate: int = RATE) -> Sound:
    """Return a dozen tones, each with its own beginning."""
    rng, times = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    wave = np.zeros(len(times))
    for _ in range(12):
        begin, hertz = rng.uniform(0, 0.8 * seconds), rng.uniform(100, 3500)
        after = np.maximum(times - begin, 0)
        wave += rng.uniform(0.2, 1) * np.sin(2 * np.pi * hertz * times) * np.exp(-8 * after) * (times > begin)
    return make_sound(0.2 * wave, rate)
