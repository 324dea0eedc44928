"""A mark in the spectrum of speech: a key raises and lowers small regions of time and frequency by about a decibel.

Voices of other libraries draw no noise that could carry a mark. Here the levels of cells of 40 ms and 125 Hz are
changed by a pattern of the key, which repeats every few seconds, so that a part of a recording is enough to find it.
The residual of the levels is correlated with the pattern at every place. Without the key, the pattern is independent of
the sound: each correlation is then a standard normal number whatever the sound is.

Shape letters: N samples, T frames, F frequencies, C cells of time, B bands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from genloom.media.audio.processing import change_rate, mix_to_mono
from genloom.media.audio.sound import Sound
from genloom.noise import draw_bits, fold_in, to_normal, to_uniform

POOL_SIZE = 256  # patterns of a key, of which each output has one
DECIBELS = 1.0  # the standard deviation of the changes
MAX_DEVIATIONS = 2.0  # of a change
HOPS_PER_SECOND = 50  # of windows that are twice as long
CELL_FRAMES = 2
PERIOD = 96  # cells, after which a pattern repeats
BANDS, LOWEST, HIGHEST = 64, 250.0, 8250.0  # hertz
RATE = 24_000  # at which marks are looked for
MAX_SECONDS = 120  # of a sound, in which they are looked for
OFFSETS = 4  # places of a window within a hop that are tried
NUM_PLACES = PERIOD * CELL_FRAMES * OFFSETS  # that are tried for each pattern
_STREAM = 5  # of the noise key, beside those of genloom/noise.py
_SMOOTH_CELLS, _SMOOTH_BANDS = 11, 3  # of the levels around a cell, which its own is compared with
_MAX_RESIDUAL = 6.0  # decibels
_FLOOR = 1e-7  # of the loudest cell's power


@dataclass(frozen=True)
class SpectralMark:
    """A pattern of a noise key, by which speech is changed."""

    noise_key: int = field(repr=False)
    pool_index: int


@dataclass(frozen=True)
class SpectralEvidence:
    """The highest correlation of a sound with the patterns of a key: the best of `num_tests` normal numbers."""

    score: float
    pool_index: int
    num_cells: int
    num_tests: int


def choose_pool_index(*texts: str) -> int:
    """Return the pattern of what is spoken, the same for the same texts, so that it is spoken in the same bytes."""
    return fold_in("\0".join(texts).encode("utf-8", "surrogatepass")) % POOL_SIZE


@lru_cache(maxsize=2 * POOL_SIZE)
def draw_pattern(key: int, pool_index: int) -> np.ndarray:
    """Return a pattern of standard normal numbers, C B float32."""
    bits = draw_bits(key, pool_index, PERIOD * BANDS, 0, _STREAM)
    return to_normal(to_uniform(bits)[None], (PERIOD, BANDS))[0].numpy()


@lru_cache(maxsize=8)
def find_bands(rate: int) -> np.ndarray:
    """Return the band of each frequency of a window, F; -1 for none."""
    frequencies = np.arange(_get_hop(rate) + 1) * (rate / (2 * _get_hop(rate)))
    bands = np.floor((frequencies - LOWEST) / (HIGHEST - LOWEST) * BANDS).astype(int)
    return np.where((bands >= 0) & (bands < BANDS), bands, -1)


def _get_hop(rate: int) -> int:
    return round(rate / HOPS_PER_SECOND)


def _build_window(hop: int) -> np.ndarray:
    """Return a window whose squares, shifted by half of it, add up to one."""
    return np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))


def add_spectral_mark(samples_N: np.ndarray, rate: int, begin: int, mark: SpectralMark) -> np.ndarray:
    """Return the samples of a passage with the mark; `begin` is its place in the recording, in samples."""
    hop, bands_F = _get_hop(rate), find_bands(rate)
    window, size = _build_window(hop), 2 * hop
    first = begin // hop - 1  # the first window, at a multiple of the hop, that reaches into the passage
    count = -(-(begin + len(samples_N)) // hop) - first
    start = begin - first * hop
    padded = np.zeros((count + 1) * hop)
    padded[start : start + len(samples_N)] = samples_N
    spectrum_TF = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window, axis=1)
    cells_T = (first + np.arange(count)) // CELL_FRAMES % PERIOD
    changes_TB = DECIBELS * draw_pattern(mark.noise_key, mark.pool_index)[cells_T].clip(-MAX_DEVIATIONS, MAX_DEVIATIONS)
    changes_TF = np.where(bands_F >= 0, changes_TB[:, bands_F], 0.0)
    frames = np.fft.irfft(spectrum_TF * 10 ** (changes_TF / 20), size, axis=1) * window
    marked = np.zeros_like(padded)
    marked[:-hop] += frames[:, :hop].ravel()
    marked[hop:] += frames[:, hop:].ravel()
    return marked[start : start + len(samples_N)]


def find_spectral_marks(sound: Sound, keys: Sequence[int]) -> list[SpectralEvidence]:
    """Return the evidence for each noise key that it marked the sound, which may be cut, resampled or compressed."""
    samples_N = change_rate(mix_to_mono(sound.cut(0, MAX_SECONDS * sound.rate)), RATE).samples[0]
    directions = [
        (cells, direction_CB)
        for offset in range(OFFSETS)
        for cells, direction_CB in list_directions(samples_N[offset * _get_hop(RATE) // OFFSETS :])
    ]
    return [_find_best(directions, key) for key in keys]


def list_directions(samples_N: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return the residual of a sound for each place of the first cell, folded at the period, and of length one."""
    levels_TB = _measure_power(samples_N)
    directions = []
    for first in range(CELL_FRAMES):
        count = (len(levels_TB) - first) // CELL_FRAMES
        if count < 1:
            continue
        power_CB = levels_TB[first : first + count * CELL_FRAMES].reshape(count, CELL_FRAMES, BANDS).mean(1)
        residual_CB = _measure_residual(power_CB)
        folded_CB = np.zeros((-(-count // PERIOD) * PERIOD, BANDS))
        folded_CB[:count] = residual_CB
        folded_CB = folded_CB.reshape(-1, PERIOD, BANDS).sum(0)
        length = float(np.linalg.norm(folded_CB))
        if length > 0:
            directions.append((count, folded_CB / length))
    return directions


def _measure_power(samples_N: np.ndarray) -> np.ndarray:
    """Return the power of the bands in every window, T B."""
    hop, bands_F = _get_hop(RATE), find_bands(RATE)
    if len(samples_N) < 2 * hop:
        return np.zeros((0, BANDS))
    frames = np.lib.stride_tricks.sliding_window_view(samples_N, 2 * hop)[::hop] * _build_window(hop)
    power_TF = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    inside = np.flatnonzero(bands_F >= 0)
    starts = np.flatnonzero(np.diff(bands_F[inside], prepend=-1))
    return np.add.reduceat(power_TF[:, inside], starts, axis=1)


def _measure_residual(power_CB: np.ndarray) -> np.ndarray:
    """Return by how many decibels each cell is louder than those around it."""
    loudest = float(power_CB.max())
    if not loudest > 0:
        return np.zeros_like(power_CB)
    levels_CB = 10 * np.log10(power_CB + _FLOOR * loudest)
    levels_CB = levels_CB - _smooth_cells(levels_CB, _SMOOTH_CELLS)
    levels_CB = levels_CB - _smooth_cells(levels_CB.T, _SMOOTH_BANDS).T
    return levels_CB.clip(-_MAX_RESIDUAL, _MAX_RESIDUAL)


def _smooth_cells(levels: np.ndarray, width: int) -> np.ndarray:
    """Return the mean of so many neighbours along the first axis; the ends repeat the edge."""
    half = width // 2
    padded: np.ndarray = np.pad(levels, ((half + 1, half), (0, 0)), mode="edge")
    sums = padded.cumsum(axis=0)
    return (sums[width:] - sums[:-width]) / width


def _find_best(directions: list[tuple[int, np.ndarray]], key: int) -> SpectralEvidence:
    """Return the highest correlation with a pattern at any place."""
    num_tests, best = POOL_SIZE * NUM_PLACES, SpectralEvidence(0.0, 0, 0, POOL_SIZE * NUM_PLACES)
    for count, direction_CB in directions:
        score_PC = correlate_patterns(direction_CB, key)
        index = int(score_PC.argmax())
        if score_PC.flat[index] > best.score:
            score = float(score_PC.flat[index])
            best = SpectralEvidence(score, index // PERIOD, min(count, PERIOD) * BANDS, num_tests)
    return best


def correlate_patterns(direction_CB: np.ndarray, key: int) -> np.ndarray:
    """Return the correlation of a direction with each pattern of a key at each place, P C.

    Without the key in the sound, each is a standard normal number.
    """
    product_PC = (np.conj(np.fft.rfft(direction_CB, axis=0)) * _transform_patterns(key)).sum(2)
    return np.fft.irfft(product_PC, PERIOD, axis=1)


@lru_cache(maxsize=4)
def _transform_patterns(key: int) -> np.ndarray:
    """Return the transforms of all patterns of a key along time, P C B complex64."""
    patterns = np.stack([draw_pattern(key, pool_index) for pool_index in range(POOL_SIZE)])
    return np.fft.rfft(patterns, axis=1).astype(np.complex64)
