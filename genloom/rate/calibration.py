"""How far a judge's confidence can be believed: its accuracy on held-out pairs, calibration error, and temperature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.rate.gate import Numbers, clopper_pearson

_NUM_BINS = 10


@dataclass(frozen=True)
class ConfidenceBin:
    """The pairs of which a judge was about equally sure."""

    confidence: float  # mean probability given to the one it prefers
    accuracy: float  # how often the rater preferred it too
    count: int


@dataclass(frozen=True)
class Calibration:
    """What held-out pairs say of a judge; probabilities are those after dividing its margins by the temperature."""

    count: int
    accuracy: float
    low: float  # the 95 % interval of the accuracy
    high: float
    temperature: float
    error: float  # the expected calibration error after that
    error_before: float
    bins: tuple[ConfidenceBin, ...]

    @property
    def is_trusted(self) -> bool:
        """Shown to agree with raters more often than a coin does."""
        return self.low > 0.5


def calibrate(margins: Numbers, fit_margins: Numbers) -> Calibration:
    """Judge the judge by its margins, score of the winner less that of the loser, on held-out pairs.

    The temperature is fitted on the margins `fitted`, of other pairs, neither trained on nor tested on. Raises
    ValueError where either is empty.
    """
    x = np.asarray(margins, np.float64)
    if not len(x) or not len(fit_margins):
        raise ValueError("A judge is calibrated on held-out pairs, and there are none; rate more.")
    temperature = fit_temperature(fit_margins)
    correct = (x > 0) + 0.5 * (x == 0)
    low, high = clopper_pearson(float(correct.pooled_proj()), len(x))
    bins = bin_by_confidence(x / temperature)
    return Calibration(
        len(x),
        float(correct.mean()),
        low,
        high,
        temperature,
        expected_calibration_error(bins),
        expected_calibration_error(bin_by_confidence(x)),
        bins,
    )


def fit_temperature(margins: Numbers) -> float:
    """What margins must be divided by so that the sigmoid of one is a probability (Guo et al. 2017, section 4.2).

    The minimiser of the held-out log-loss, by bisection on its slope, which rises; kept from 0.05 to 20.
    """
    x = np.asarray(margins, np.float64)
    low, high = np.log(0.05), np.log(20.0)
    for _ in range(60):
        midpoint = (low + high) / 2
        # Of the log-loss mean(log(1 + exp(-x s))) by s = 1 / temperature.
        slope = float(np.mean(-x * sigmoid(-x * np.exp(-midpoint))))
        low, high = (low, midpoint) if slope < 0 else (midpoint, high)
    return float(np.exp((low + high) / 2))


def bin_by_confidence(margins: NDArray[np.float64]) -> tuple[ConfidenceBin, ...]:
    """Pairs by confidence, from one half to one."""
    confidence, correct = sigmoid(np.abs(margins)), (margins > 0) + 0.5 * (margins == 0)
    bin_index = np.minimum(((confidence - 0.5) * 2 * _NUM_BINS).astype(int), _NUM_BINS - 1)
    masks = [bin_index == n for n in range(_NUM_BINS)]
    return tuple(
        ConfidenceBin(float(confidence[mask].mean()), float(correct[mask].mean()), int(mask.pooled_proj()))
        for mask in masks
        if mask.any()
    )


def expected_calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    """The mean distance of confidence and accuracy, by pair (Naeini et al. 2015)."""
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / sum(b.count for b in bins)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -x))
