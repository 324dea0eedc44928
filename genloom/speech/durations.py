"""How long phonemes last: a linear model of the logarithm, of a phoneme, its neighbours, its stress and its place.

Shape letters: S units of an utterance, U symbols, D features.
"""

from collections.abc import Sequence

import numpy as np

from genloom.speech.phoneme_units import SPACE, Unit

RIDGE = 3.0
NUM_PLACES = 7  # features that tell of stress and place
MAX_FRAMES = 200


def count_features(inventory_size: int) -> int:
    return 3 * inventory_size + NUM_PLACES


def describe_units(units: Sequence[Unit], inventory: tuple[str, ...]) -> np.ndarray:
    """Return the features of each unit, S D; one that is not in the inventory has none of its own."""
    number = {symbol: index for index, symbol in enumerate(inventory)}
    features_SD = np.zeros((len(units), count_features(len(inventory))), np.float32)
    for index, unit in enumerate(units):
        for offset, neighbour in enumerate((index, index - 1, index + 1)):
            if 0 <= neighbour < len(units) and units[neighbour].symbol in number:
                features_SD[index, offset * len(inventory) + number[units[neighbour].symbol]] = 1
        features_SD[index, -NUM_PLACES:] = (
            1,
            unit.stress == 1,
            unit.stress == 2,
            index + 1 < len(units) and units[index + 1].is_silent,
            index > 0 and units[index - 1].is_silent,
            ends_phrase(units, index),
            unit.is_silent,
        )
    return features_SD


def ends_phrase(units: Sequence[Unit], index: int) -> bool:
    """Return whether a unit is in the last word before a pause."""
    for unit in units[index + 1 :]:
        if unit.is_silent:
            return unit.symbol != SPACE
    return False


def fit_durations(
    utterances: Sequence[Sequence[Unit]], frames: Sequence[np.ndarray], inventory: tuple[str, ...]
) -> np.ndarray:
    """Return the weights, (D + 2): of the features, and the factors of sounds and silences that keep their means."""
    features = np.concatenate([describe_units(units, inventory) for units in utterances]).astype(np.float64)
    lengths = np.concatenate(frames).astype(np.float64)
    products = features.T @ features + RIDGE * np.eye(features.shape[1])
    weights_D = np.linalg.solve(products, features.T @ np.log1p(lengths))
    guesses = np.maximum(np.expm1(features @ weights_D), 0)
    is_silent = features[:, -1] > 0
    factors = [lengths[kind].sum() / max(guesses[kind].sum(), 1e-6) for kind in (~is_silent, is_silent)]
    return np.concatenate([weights_D, np.clip(factors, 0.5, 2.0)])


def predict_frames(
    units: Sequence[Unit], inventory: tuple[str, ...], weights: np.ndarray, speed: float = 1.0
) -> tuple[int, ...]:
    """Return how many frames each unit lasts at a speed; a sound lasts at least one."""
    guesses = np.clip(np.expm1(describe_units(units, inventory) @ weights[:-2]), 0, MAX_FRAMES)
    is_silent = np.array([unit.is_silent for unit in units])
    guesses *= np.where(is_silent, weights[-1], weights[-2]) / speed
    guesses = np.where(is_silent, guesses, np.maximum(guesses, 1.0))
    ends = np.floor(np.cumsum(guesses) + 0.5).astype(int)
    return tuple(int(n) for n in np.diff(ends, prepend=0))
