"""Measures of what people hear first of a sound: its length, pitch, brightness, attack, noise and loudness.

Shape letters: N samples, T frames, F frequencies.
"""

from dataclasses import dataclass, fields

import numpy as np

from genloom.media.audio.processing import measure_levels, measure_loudness, mix_to_mono, trim_silence
from genloom.media.audio.sound import Sound
from genloom.media.audio.spectrum import compute_sound_magnitudes, to_mel

LENGTH_DB = -40.0  # below its loudest moment a sound has ended
LOWEST_HZ, HIGHEST_HZ = 40.0, 4_000.0  # of a pitch
PITCH_SECONDS = 0.06  # of a frame in which pitch is looked for: more than two periods of the lowest
CLARITY = 0.25  # of YIN's normalised difference, below which a frame has a pitch
MAX_PITCH_FRAMES = 24
BLOCK_SECONDS, SMOOTH_BLOCKS = 0.005, 3  # of the envelope
ATTACK_SHARE = 0.75  # of the maximum: noise is rarely near it


@dataclass(frozen=True)
class Measures:
    """Numbers of a sound; those with a unit have it in their comments."""

    length: float  # seconds from its beginning to its end, without silence
    pitch: float  # hertz; 0: none, as of noise
    brightness: float  # hertz: the centre of its spectrum
    attack: float  # milliseconds from a tenth to three quarters of its loudest moment
    noise: float  # from 0 (tones) to 1 (white noise): the flatness of its spectrum
    loudness: float  # LUFS
    peak: float  # decibels of full scale


UNITS = {
    "length": "s",
    "pitch": "Hz",
    "brightness": "Hz",
    "attack": "ms",
    "noise": "",
    "loudness": "LUFS",
    "peak": "dB",
}
NAMES = tuple(field.name for field in fields(Measures))


def scale_measures(measures: Measures) -> list[float]:
    """Return what people hear first on scales of hearing, each of about the same spread: six numbers.

    They are the length, the pitch, whether there is one, the brightness, the attack and the noise.
    """
    return [
        float(np.log(0.02 + measures.length)),
        float(to_mel(measures.pitch)) / 1000,
        float(measures.pitch > 0),
        float(to_mel(measures.brightness)) / 1000,
        float(np.log(5 + measures.attack)) / 3,
        measures.noise,
    ]


def measure_sound(sound: Sound) -> Measures:
    """Return the measures of a sound; those of a silent one are 0, and its levels the lowest."""
    heard = trim_silence(mix_to_mono(sound), LENGTH_DB)
    peak = float(np.abs(sound.samples).max())
    if not peak > 0:
        return Measures(0.0, 0.0, 0.0, 0.0, 0.0, measure_loudness(sound), -100.0)
    magnitudes = compute_sound_magnitudes(heard)
    return Measures(
        heard.seconds,
        find_pitch(heard),
        find_centre(magnitudes, heard.rate),
        1000 * find_attack(heard),
        find_flatness(magnitudes),
        measure_loudness(sound),
        20 * np.log10(peak).item(),
    )


def find_centre(magnitudes_TF: np.ndarray, rate: int) -> float:
    """Return the centroid of the mean spectrum in hertz."""
    spectrum = magnitudes_TF.mean(0)
    return float((spectrum * np.linspace(0, rate / 2, len(spectrum))).sum() / max(spectrum.sum(), 1e-12))


def find_flatness(magnitudes_TF: np.ndarray) -> float:
    """Return the geometric over the arithmetic mean of the spectrum's power, at the loudest moments."""
    power = magnitudes_TF.astype(np.float64) ** 2
    loudest = power[power.sum(1) >= np.quantile(power.sum(1), 0.5)].mean(0)[1:] + 1e-14
    return float(np.exp(np.log(loudest).mean()) / loudest.mean())


def find_attack(sound: Sound) -> float:
    """Return the seconds in which the envelope rises from a tenth to three quarters of its maximum."""
    levels = measure_levels(sound.samples, max(round(BLOCK_SECONDS * sound.rate), 1))
    levels = np.convolve(levels, np.ones(SMOOTH_BLOCKS) / SMOOTH_BLOCKS)[: len(levels)]
    top = int(levels.argmax())
    before = levels[: top + 1] / levels[top]
    begin = int(np.flatnonzero(before < 0.1)[-1]) + 1 if (before < 0.1).any() else 0
    end = int(np.flatnonzero(before >= ATTACK_SHARE)[0])
    return max(end - begin, 0) * BLOCK_SECONDS


def find_pitch(sound: Sound) -> float:
    """Return the median pitch of the loudest frames in hertz, 0 if most of them have none.

    YIN: de Cheveigné and Kawahara 2002.
    """
    samples, size = sound.samples.mean(0), round(PITCH_SECONDS * sound.rate)
    if len(samples) < size:
        samples = np.pad(samples, (0, size - len(samples)))
    starts = np.arange(0, len(samples) - size + 1, max(size // 2, 1))
    frames = np.stack([samples[start : start + size] for start in starts]).astype(np.float64)
    energies = (frames**2).sum(1)
    loudest = np.argsort(energies)[::-1][:MAX_PITCH_FRAMES]
    loudest = loudest[energies[loudest] >= 0.01 * energies.max()]
    pitches = [find_frame_pitch(frames[index], sound.rate) for index in sorted(loudest)]
    voiced = [pitch for pitch in pitches if pitch]
    return float(np.median(voiced)) if 2 * len(voiced) > len(pitches) else 0.0


def find_frame_pitch(frame_N: np.ndarray, rate: int) -> float:
    """Return the pitch of a frame in hertz, 0 if it has none."""
    half = len(frame_N) // 2
    shortest, longest = max(int(rate / HIGHEST_HZ), 2), min(int(rate / LOWEST_HZ), half)
    frame_N = frame_N - frame_N.mean()
    size = 1 << (2 * len(frame_N) - 1).bit_length()
    head = np.fft.rfft(frame_N[:half], size)
    products = np.fft.irfft(np.conj(head) * np.fft.rfft(frame_N, size), size)[: longest + 1]
    energy = np.concatenate([[0.0], np.cumsum(frame_N**2)])
    shifted = energy[half : half + longest + 1] - energy[: longest + 1]
    differences = np.maximum(shifted[0] + shifted - 2 * products, 0)
    lags = np.arange(1, longest + 1)
    normalised = np.concatenate([[1.0], differences[1:] * lags / np.maximum(np.cumsum(differences[1:]), 1e-12)])
    below = np.flatnonzero(normalised[shortest:] < CLARITY)
    if not len(below):
        return 0.0
    lag = shortest + int(below[0])
    while lag + 1 < longest and normalised[lag + 1] < normalised[lag]:
        lag += 1
    if not 0 < lag < longest:
        return rate / lag
    before, at, after = normalised[lag - 1 : lag + 2]
    curve = before - 2 * at + after
    shift = 0.5 * (before - after) / curve if curve > 0 else 0.0
    return float(rate / (lag + min(max(shift, -0.5), 0.5)))
