"""Find which phoneme is spoken when in a recording whose text is known.

A hidden Markov model with one Gaussian of cepstra for each phoneme, whose best path is found by Viterbi's algorithm
and whose Gaussians are estimated from the paths in turn (Rabiner 1989). It begins with phonemes of equal lengths.

Shape letters: N samples, T frames, F features, U symbols, S units of an utterance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from genloom.media.audio.spectrum import build_mel_matrix, frame_samples
from genloom.speech.phoneme_units import Unit

BANDS, NUM_CEPSTRA = 26, 13
NUM_FEATURES = 2 * NUM_CEPSTRA  # with their changes
FLOOR = 1e-5  # of a magnitude
ROUNDS = 10
PRIOR_FRAMES = 3.0  # frames of the mean of all phonemes that each phoneme is thought to have had
VARIANCE_FLOOR = 0.05  # of the variance of all frames
QUIET_SHARE = 0.3  # of the range of loudness, below which the ends are silence at first
MIN_FRAMES, MAX_FRAMES = 1.0, 40.0  # of a sound on average; a text with fewer or more is not that of the recording


@dataclass(frozen=True)
class Acoustics:
    """How the phonemes of a voice sound."""

    inventory: tuple[str, ...]
    means_UF: np.ndarray
    variances_UF: np.ndarray
    frames_U: np.ndarray  # how long each lasts on average

    def score(self, features_TF: np.ndarray) -> np.ndarray:
        """Return the log-density of every frame under each symbol, T U."""
        weights = 1 / self.variances_UF
        constants = (np.square(self.means_UF) * weights + np.log(self.variances_UF)).sum(1)
        squares = np.square(features_TF) @ weights.T
        return -0.5 * (squares - 2 * features_TF @ (self.means_UF * weights).T + constants)


def compute_features(samples_N: np.ndarray, rate: int, hop: int) -> np.ndarray:
    """Return the mel cepstra of frames of `hop` samples, less their means, with their changes, T F."""
    window = 2 * hop
    frames = frame_samples(np.asarray(samples_N, np.float32), window, hop) * np.hanning(window).astype(np.float32)
    magnitudes = np.abs(np.fft.rfft(frames, axis=1)) * (2 / window)
    levels = np.log(np.maximum(magnitudes @ build_mel_matrix(rate, magnitudes.shape[1], BANDS), FLOOR))
    cepstra = levels @ build_cosines()
    cepstra -= cepstra.mean(0)
    padded = np.pad(cepstra, ((1, 1), (0, 0)), mode="edge")
    return np.concatenate([cepstra, (padded[2:] - padded[:-2]) / 2], 1)


@lru_cache(1)
def build_cosines() -> np.ndarray:
    """Return the orthonormal cosine transform of the bands."""
    angles = np.pi / BANDS * (np.arange(BANDS)[:, None] + 0.5) * np.arange(NUM_CEPSTRA)
    return np.cos(angles) * np.where(np.arange(NUM_CEPSTRA) == 0, (1 / BANDS) ** 0.5, (2 / BANDS) ** 0.5)


def fit_acoustics(
    features: Sequence[np.ndarray], utterances: Sequence[Sequence[Unit]], inventory: tuple[str, ...]
) -> Acoustics:
    """Return the acoustics of recordings and their units."""
    frames = [spread_frames(each, units) for each, units in zip(features, utterances, strict=True)]
    acoustics = estimate_acoustics(features, utterances, frames, inventory)
    for _ in range(ROUNDS):
        found = [align_units(each, units, acoustics) for each, units in zip(features, utterances, strict=True)]
        frames = [old if new is None else new for old, new in zip(frames, found, strict=True)]
        acoustics = estimate_acoustics(features, utterances, frames, inventory)
    return acoustics


def spread_frames(features_TF: np.ndarray, units: Sequence[Unit]) -> np.ndarray:
    """Return the frames of each unit, (S,), if all sounds last equally long between the silences at the ends."""
    loudness = features_TF[:, 0]
    loud = np.flatnonzero(loudness > loudness.min() + QUIET_SHARE * np.ptp(loudness))
    begin, end = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(loudness))
    is_sound = np.array([not unit.is_silent for unit in units])
    edges = np.linspace(begin, end, int(is_sound.sum()) + 1).round().astype(int)
    frames = np.zeros(len(units), int)
    frames[is_sound] = np.diff(edges)
    frames[0], frames[-1] = begin, len(loudness) - end
    return frames


def estimate_acoustics(
    features: Sequence[np.ndarray],
    utterances: Sequence[Sequence[Unit]],
    frames: Sequence[np.ndarray],
    inventory: tuple[str, ...],
) -> Acoustics:
    """Return the means and variances of the frames of each symbol, drawn a little to those of all."""
    number = {symbol: index for index, symbol in enumerate(inventory)}
    indices = [np.array([number[unit.symbol] for unit in units]) for units in utterances]
    all_TF = np.concatenate(features)
    owner_T = np.concatenate([np.repeat(i, f) for i, f in zip(indices, frames, strict=True)])
    counts_U = np.bincount(owner_T, minlength=len(inventory)).astype(float)[:, None]
    sums_UF, squares_UF = np.zeros((len(inventory), NUM_FEATURES)), np.zeros((len(inventory), NUM_FEATURES))
    np.add.at(sums_UF, owner_T, all_TF)
    np.add.at(squares_UF, owner_T, np.square(all_TF))
    mean_F, variance_F = all_TF.mean(0), all_TF.var(0) + 1e-8
    means_UF = (sums_UF + PRIOR_FRAMES * mean_F) / (counts_U + PRIOR_FRAMES)
    second_UF = (squares_UF + PRIOR_FRAMES * (np.square(mean_F) + variance_F)) / (counts_U + PRIOR_FRAMES)
    variances_UF = np.maximum(second_UF - np.square(means_UF), VARIANCE_FLOOR * variance_F)
    heard_U = np.bincount(
        np.concatenate([i[f > 0] for i, f in zip(indices, frames, strict=True)]), None, len(inventory)
    )
    return Acoustics(inventory, means_UF, variances_UF, counts_U[:, 0] / np.maximum(heard_U, 1))


def align_units(features_TF: np.ndarray, units: Sequence[Unit], acoustics: Acoustics) -> np.ndarray | None:
    """Return how many frames each unit lasts, (S,); None if the text cannot be that of the recording."""
    num_frames, num_sounds = len(features_TF), sum(not unit.is_silent for unit in units)
    known = {symbol: index for index, symbol in enumerate(acoustics.inventory)}
    if not num_sounds or not MIN_FRAMES <= num_frames / num_sounds <= MAX_FRAMES:
        return None
    if any(unit.symbol not in known for unit in units):
        return None
    indices = np.array([known[unit.symbol] for unit in units])
    scores_TS = acoustics.score(features_TF)[:, indices]
    leave_S = 1 / np.maximum(acoustics.frames_U[indices], 1.05)
    stay_S, go_S = np.log1p(-leave_S), np.log(leave_S)
    is_silent = np.array([unit.is_silent for unit in units])
    path = find_best_path(scores_TS, stay_S, go_S, is_silent)
    return None if path is None else np.bincount(path, minlength=len(units))


def find_best_path(
    scores_TS: np.ndarray, stay_S: np.ndarray, go_S: np.ndarray, is_optional: np.ndarray
) -> np.ndarray | None:
    """Return the state of every frame on the best path from the first to the last; optional ones may be skipped."""
    num_frames, num_states = scores_TS.shape
    total_S = np.full(num_states, -np.inf)
    total_S[0] = scores_TS[0, 0]
    if is_optional[0] and num_states > 1:
        total_S[1] = scores_TS[0, 1]
    steps_TS = np.zeros((num_frames, num_states), np.int8)
    can_skip = np.zeros(num_states, bool)
    can_skip[2:] = is_optional[1:-1]
    for frame in range(1, num_frames):
        leaving_S = total_S + go_S
        options = np.full((3, num_states), -np.inf)
        options[0] = total_S + stay_S
        options[1, 1:] = leaving_S[:-1]
        options[2, 2:] = np.where(can_skip[2:], leaving_S[:-2], -np.inf)
        steps_TS[frame] = options.argmax(0)
        total_S = options.max(0) + scores_TS[frame]
    ends = [num_states - 1, num_states - 2] if is_optional[-1] and num_states > 1 else [num_states - 1]
    state = max(ends, key=lambda end: total_S[end])
    if not np.isfinite(total_S[state]):
        return None
    path = np.zeros(num_frames, int)
    for frame in range(num_frames - 1, -1, -1):
        path[frame] = state
        state -= int(steps_TS[frame, state])
    return path
