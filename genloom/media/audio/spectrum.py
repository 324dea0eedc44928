"""Spectra of sounds: short-time magnitudes and their sums in mel bands.

Shape letters: N samples, T frames, F frequencies, M mel bands.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

import numpy as np

from genloom.media.audio.sound import Sound

WINDOW_SECONDS, HOP_SECONDS = 0.046, 0.0116
FRAME_MULTIPLE = 16  # of the longest sound of a model, so that networks can halve it


def compute_magnitudes(samples_N: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Return the magnitudes of the short-time Fourier transform with a Hann window, T F; the ends are padded."""
    padded = np.pad(np.asarray(samples_N, np.float32), (size // 2, size // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(samples_N) + 1 : hop]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    return np.abs(np.fft.rfft(frames * window, axis=1)).astype(np.float32) * (2 / size)


def compute_sound_magnitudes(sound: Sound) -> np.ndarray:
    """Return the magnitudes of the mean of the channels, T F, in windows of 46 ms every 12 ms."""
    size = 2 * round(WINDOW_SECONDS * sound.rate / 2)
    return compute_magnitudes(sound.samples.mean(0), size, max(round(HOP_SECONDS * sound.rate), 1))


def to_mel(hertz: np.ndarray | float) -> np.ndarray:
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def from_mel(mel: np.ndarray | float) -> np.ndarray:
    return 700 * (10 ** (np.asarray(mel) / 2595) - 1)


@lru_cache(16)
def build_mel_matrix(rate: int, num_frequencies: int, bands: int, highest: float = 0.0) -> np.ndarray:
    """Return triangles of equal area over the frequencies up to `highest` hertz (0: half the rate), F M."""
    top = highest or rate / 2
    edges = from_mel(np.linspace(to_mel(20.0), to_mel(top), bands + 2))
    frequencies = np.linspace(0, rate / 2, num_frequencies)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    triangles = np.clip(np.minimum(rising, falling), 0, None)
    nearest = np.argmin(np.abs(frequencies - edges[1:-1]), 0)  # low bands may lie between two frequencies
    triangles[nearest, np.arange(bands)] = np.maximum(triangles[nearest, np.arange(bands)], 1e-3)
    return (triangles / triangles.sum(0)).astype(np.float32)


def compute_mel_decibels(sound: Sound, bands: int = 64, floor: float = -90.0, highest: float = 0.0) -> np.ndarray:
    """Return the levels of mel bands in decibels of full scale, T M, at least `floor`."""
    magnitudes = compute_sound_magnitudes(sound)
    mel = magnitudes @ build_mel_matrix(sound.rate, magnitudes.shape[1], bands, highest)
    return 20 * np.log10(np.maximum(mel, 10 ** (floor / 20)))


def average_parts(levels_TM: np.ndarray, count: int) -> np.ndarray:
    """Return the means of so many parts of the length, about equally long, (count, M)."""
    edges = np.linspace(0, len(levels_TM), count + 1).astype(int)
    return np.stack([levels_TM[begin : max(end, begin + 1)].mean(0) for begin, end in pairwise(edges)])


def frame_samples(samples_N: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Return the window around every `hop` samples, (T, window), where T frames of `hop` samples hold all of them."""
    count, left = -(-len(samples_N) // hop), (window - hop) // 2
    padded = np.pad(samples_N, (left, count * hop + window - hop - left - len(samples_N)))
    return np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][:count]


def choose_num_frames(lengths: Iterable[int], maximum: int) -> int:
    """Return how many frames hold the longest sound that has at most so many, as a multiple of 16."""
    longest = max((length for length in lengths if length <= maximum), default=maximum)
    return min(-(-longest // FRAME_MULTIPLE) * FRAME_MULTIPLE, maximum)
