"""The features of a tune that people notice first: mode, pace, density, steps and leaps, register, voice leading."""

import numpy as np
from numpy.typing import NDArray

from genloom.media.music.score import DRUMS, Score, build_clock, correlate_keys, iter_intervals
from genloom.media.music.theory import count_notes_per_quarter, find_faults, list_lines

NUM_FEATURES = 16


def extract_style_features(score: Score) -> NDArray[np.float64]:
    """Return the features, each about from -1 to 1; zeros for a tune without pitched notes."""
    pitched = [note for part in score.parts if part.program != DRUMS for note in part.notes]
    if not pitched:
        return np.zeros(NUM_FEATURES)
    lines = [line for _, line in list_lines(score)]
    intervals = np.array([interval for line in lines for interval in iter_intervals(line)] or [0])
    pitches, durations = np.array([note.pitch for note in pitched]), np.array([note.duration for note in pitched])
    steps = np.abs(intervals)
    fits = correlate_keys(score)
    best = {mode: max(fit for key, fit in fits.items() if key.mode == mode) for mode in ("major", "minor")}
    seconds = max(build_clock(score.tempos)(score.end), 0.1)
    sounding = sum(note.duration for line in lines for note in line) / max(len(lines) * score.end, 1)
    return np.array([
        best["major"] - best["minor"],
        max(fits.values()),
        np.log2(max(count_notes_per_quarter(score), 1 / 16)) / 4,
        np.log2(max(len(pitched) / seconds, 1 / 16)) / 4,
        (pitches.mean() - 60) / 24,
        (pitches.max() - pitches.min()) / 48,
        np.mean((steps > 0) & (steps <= 2)),
        np.mean(steps == 0),
        np.mean(steps > 7),
        np.sign(intervals).mean(),
        np.log2(durations.mean() / 24) / 4,
        np.log2(durations + 1.0).std() / 2,
        sounding,
        len(lines) / 8,
        min(len(find_faults(score)) / max(len(score.bars), 1), 4) / 4,
        len(score.bars) / 32,
    ])  # fmt: skip
