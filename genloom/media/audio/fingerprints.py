"""Landmarks of sounds: pairs of spectral peaks, which stay when a sound is made louder, compressed or cut (Wang 2003).

Shape letters: T frames, M bands, K landmarks.
"""

from dataclasses import dataclass

import numpy as np

from genloom.media.audio.processing import mix_to_mono
from genloom.media.audio.sound import Sound
from genloom.media.audio.spectrum import build_mel_matrix, compute_magnitudes

BANDS, HIGHEST_HZ = 64, 4_000.0
FRAME_SECONDS = 0.01
WINDOW_FRAMES = 4  # of a spectrum
REACH_FRAMES, REACH_BANDS = 5, 3  # in which a peak is the highest
FLOOR_DB = 45.0  # below the loudest place, under which peaks are left out
FAN, MAX_FRAMES = 6, 63  # pairs of a peak, and how far their second peak is at most
STEP_FRAMES = 3  # of the distance in a hash, since a cut file begins between two frames
MIN_SHARED, MIN_RUN = 4, 3  # landmarks, and frames with landmarks, that a shared stretch has at least


@dataclass(frozen=True)
class Landmarks:
    """The hashes of pairs of peaks, and the frame of each first peak; the frames are in order."""

    hashes_K: np.ndarray  # uint32
    frames_K: np.ndarray  # int32, of 10 ms

    def __len__(self) -> int:
        return len(self.hashes_K)


def find_landmarks(sound: Sound) -> Landmarks:
    """Return the landmarks of a sound; none of a silent one."""
    sound = mix_to_mono(sound)
    hop = max(round(FRAME_SECONDS * sound.rate), 1)
    magnitudes = compute_magnitudes(sound.samples[0], WINDOW_FRAMES * hop, hop)
    highest = min(HIGHEST_HZ, sound.rate / 2)
    matrix = build_mel_matrix(sound.rate, magnitudes.shape[1], BANDS, highest)
    levels_TM = 20 * np.log10(np.maximum(magnitudes @ matrix, 1e-6))
    is_peak = levels_TM > max(levels_TM.max() - FLOOR_DB, -100)
    is_peak &= levels_TM >= find_highest(find_highest(levels_TM, REACH_FRAMES, 0), REACH_BANDS, 1)
    frames, bands = np.nonzero(is_peak)
    hashes, starts = [], []
    for index in range(len(frames)):
        following = slice(index + 1, index + 1 + 4 * FAN)
        distances = frames[following] - frames[index]
        near = np.flatnonzero((distances > 0) & (distances <= MAX_FRAMES))[:FAN]
        for other in near:
            distance = int(distances[other]) // STEP_FRAMES
            hashes.append(int(bands[index]) | int(bands[index + 1 + other]) << 6 | distance << 12)
            starts.append(int(frames[index]))
    return Landmarks(np.array(hashes, np.uint32), np.array(starts, np.int32))


def find_highest(levels: np.ndarray, reach: int, axis: int) -> np.ndarray:
    """Return the highest level within `reach` places on both sides."""
    padding = [(reach, reach) if each == axis else (0, 0) for each in range(levels.ndim)]
    padded = np.pad(levels, padding, constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=axis).max(-1)


def find_shared_stretch(landmarks: Landmarks, other: Landmarks, max_gap: int = 40) -> tuple[int, int, int]:
    """Return the longest stretch that two sounds share: its frames, and where it begins in each.

    Landmarks of equal hashes vote for the distance of their frames; frames of one distance with gaps of at most
    `max_gap` frames are a stretch. (0, 0, 0) without four landmarks in common.
    """
    order = np.argsort(other.hashes_K, kind="stable")
    hashes = other.hashes_K[order]
    left, right = np.searchsorted(hashes, landmarks.hashes_K), np.searchsorted(hashes, landmarks.hashes_K, "right")
    counts = right - left
    if counts.sum() < MIN_SHARED:
        return 0, 0, 0
    own = np.repeat(landmarks.frames_K, counts)
    positions = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(left, counts)
    theirs = other.frames_K[order][positions]
    distances = (theirs - own) // 2
    values, votes = np.unique(distances, return_counts=True)
    best = (0, 0, 0)
    for value in values[np.argsort(votes, kind="stable")[::-1][:5]]:
        is_near = np.abs(distances - value) <= 1
        frames = np.unique(own[is_near])
        breaks = np.flatnonzero(np.diff(frames) > max_gap)
        for run in np.split(frames, breaks + 1):
            if len(run) >= MIN_RUN and run[-1] - run[0] > best[0]:
                first = int(run[0])
                best = (int(run[-1] - run[0]), first, int(theirs[is_near][own[is_near] == first].min()))
    return best
