"""How far a judge's confidence can be believed: its accuracy on held-out pairs, calibration error, and temperature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.rate.gate import Numbers, share

_BINS = 10


@dataclass(frozen=True)
class Bin:
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
    bins: tuple[Bin, ...]

    @property
    def trusted(self) -> bool:
        """Shown to agree with raters more often than a coin does."""
        return self.low > 0.5


def calibration(margins: Numbers, fitted: Numbers) -> Calibration:
    """Judge the judge by its margins, score of the winner less that of the loser, on held-out pairs.

    The temperature is fitted on the margins `fitted`, of other pairs, neither trained on nor tested on. Raises
    ValueError where either is empty.
    """
    x = np.asarray(margins, np.float64)
    if not len(x) or not len(fitted):
        raise ValueError("A judge is calibrated on held-out pairs, and there are none; rate more.")
    heat = temperature(fitted)
    right = (x > 0) + 0.5 * (x == 0)
    low, high = share(float(right.sum()), len(x))
    bins = binned(x / heat)
    return Calibration(len(x), float(right.mean()), low, high, heat, error(bins), error(binned(x)), bins)


def temperature(margins: Numbers) -> float:
    """What margins must be divided by so that the sigmoid of one is a probability (Guo et al. 2017, section 4.2).

    The minimiser of the held-out log-loss, by bisection on its slope, which rises; kept from 0.05 to 20.
    """
    x = np.asarray(margins, np.float64)
    low, high = np.log(0.05), np.log(20.0)
    for _ in range(60):
        middle = (low + high) / 2
        # Of the log-loss mean(log(1 + exp(-x s))) by s = 1 / temperature.
        slope = float(np.mean(-x * sigmoid(-x * np.exp(-middle))))
        low, high = (low, middle) if slope < 0 else (middle, high)
    return float(np.exp((low + high) / 2))


def binned(margins: NDArray[np.float64]) -> tuple[Bin, ...]:
    """Pairs by confidence, from one half to one."""
    sure, right = sigmoid(np.abs(margins)), (margins > 0) + 0.5 * (margins == 0)
    place = np.minimum(((sure - 0.5) * 2 * _BINS).astype(int), _BINS - 1)
    at = [place == n for n in range(_BINS)]
    return tuple(Bin(float(sure[m].mean()), float(right[m].mean()), int(m.sum())) for m in at if m.any())


def error(bins: Sequence[Bin]) -> float:
    """The mean distance of confidence and accuracy, by pair (Naeini et al. 2015)."""
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / sum(b.count for b in bins)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -x))
