"""Calibration of a reward model: accuracy on held-out pairs, calibration error and temperature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError
from genloom.metrics.statistics import clopper_pearson
from genloom.rate.gate import Numbers

_NUM_BINS = 10


@dataclass(frozen=True)
class ConfidenceBin:
    """Pairs with about the same confidence."""

    confidence: float  # mean probability of the preferred answer
    accuracy: float  # how often raters prefer it too
    count: int


@dataclass(frozen=True)
class Calibration:
    """Calibration on held-out pairs; probabilities are those of the margins divided by the temperature."""

    count: int
    accuracy: float
    low: float  # the 95 % interval of the accuracy
    high: float
    temperature: float
    error: float  # expected calibration error with the temperature
    error_before: float  # without it
    bins: tuple[ConfidenceBin, ...]

    @property
    def is_trusted(self) -> bool:
        """Whether it is shown to agree with raters more often than chance."""
        return self.low > 0.5


def measure_calibration(margins: Numbers, fit_margins: Numbers) -> Calibration:
    """Measure accuracy and calibration by the margins (winner's score minus loser's) of held-out pairs.

    The temperature is fitted to `fit_margins`, those of other pairs, in neither the training nor the test set.
    """
    x = np.asarray(margins, np.float64)
    if not len(x) or not len(fit_margins):
        raise GenloomError("rate.no_calibration_pairs")
    temperature = fit_temperature(fit_margins)
    correct = (x > 0) + 0.5 * (x == 0)
    low, high = clopper_pearson(float(correct.sum()), len(x))
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
    """Fit the temperature that turns margins into log-odds (Guo et al. 2017, section 4.2).

    It minimises the log-loss, by bisection on the slope, which is increasing; clamped to 0.05–20.
    """
    x = np.asarray(margins, np.float64)
    low, high = np.log(0.05), np.log(20.0)
    for _ in range(60):
        midpoint = (low + high) / 2
        # The derivative of the log-loss mean(log(1 + exp(-x s))) by s = 1 / temperature.
        slope = float(np.mean(-x * sigmoid(-x * np.exp(-midpoint))))
        low, high = (low, midpoint) if slope < 0 else (midpoint, high)
    return float(np.exp((low + high) / 2))


def bin_by_confidence(margins: NDArray[np.float64]) -> tuple[ConfidenceBin, ...]:
    """Bin pairs by confidence, from 0.5 to 1."""
    confidence, correct = sigmoid(np.abs(margins)), (margins > 0) + 0.5 * (margins == 0)
    bin_index = np.minimum(((confidence - 0.5) * 2 * _NUM_BINS).astype(int), _NUM_BINS - 1)
    masks = [bin_index == n for n in range(_NUM_BINS)]
    return tuple(
        ConfidenceBin(float(confidence[mask].mean()), float(correct[mask].mean()), int(mask.sum()))
        for mask in masks
        if mask.any()
    )


def expected_calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    """Return the mean distance between confidence and accuracy, weighted by count (Naeini et al. 2015)."""
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / sum(b.count for b in bins)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -x))
