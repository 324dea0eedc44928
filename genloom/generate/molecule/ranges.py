"""Conditions of models drawn within the ranges of goals, so that a model aims at what the choice then keeps."""

from math import ceil, floor, inf, isfinite
from statistics import NormalDist
from typing import Any

import numpy as np

from genloom.errors import format_message
from genloom.media.molecule.goals import Goals
from genloom.media.molecule.properties import find_property
from genloom.model import Model

INNER_SHARE = 0.6  # of a range with two ends, around its middle
DATA_DEVIATIONS = 3  # around the mean of a property, which nearly all training data are within
MIN_PROBABILITY = 1e-4  # of a range among the training data; below, its nearest end is aimed at


def draw_conditions(model: Model, goals: Goals, nonce: int) -> dict[str, float]:
    """Return a value within the range of each goal that is a condition of the model; the same for equal nonces."""
    rng = np.random.default_rng([nonce, 0x676F616C])
    values: dict[str, float] = {}
    for name, (low, high) in goals.ranges.items():
        statistics = read_statistics(model.conditioners.get(name))
        if statistics is None:
            continue
        each = find_property(name)
        low, high = max(low, each.low), min(high, each.high)
        value = draw_between(low, high, *statistics, rng.random())
        values[name] = float(min(max(round(value), ceil(low)), floor(high))) if each.is_integer else value
    return values


def find_cautions(model: Model, goals: Goals) -> tuple[str, ...]:
    """Return a sentence on each goal that is beyond nearly all training data of the model, with their range."""
    cautions = []
    for name, (low, high) in goals.ranges.items():
        statistics = read_statistics(model.conditioners.get(name))
        if statistics is None:
            continue
        each, (mean, std) = find_property(name), statistics
        first, last = max(mean - DATA_DEVIATIONS * std, each.low), min(mean + DATA_DEVIATIONS * std, each.high)
        if low > last or high < first:
            fields = {"goal": goals.by_name[name], "name": name, "model": model.ref, "low": first, "high": last}
            cautions.append(format_message("molecule.goal_outside_data", **fields))
    return tuple(cautions)


def read_statistics(conditioner: Any) -> tuple[float, float] | None:
    """Return the mean and deviation of a condition of one number; None for another one."""
    config = getattr(conditioner, "config", None)
    mean: tuple[float, ...] = getattr(config, "mean", ())
    std: tuple[float, ...] = getattr(config, "std", ())
    return (float(mean[0]), float(std[0])) if len(mean) == 1 and len(std) == 1 else None


def draw_between(low: float, high: float, mean: float, std: float, share: float) -> float:
    """Return a value of the training distribution within a range; of a range that it hardly has, the nearest end."""
    if isfinite(low) and isfinite(high):
        margin = (1 - INNER_SHARE) / 2 * (high - low)
        low, high = low + margin, high - margin
    normal = NormalDist(mean, std)
    first, last = (0.0 if low == -inf else normal.cdf(low)), (1.0 if high == inf else normal.cdf(high))
    if last - first < MIN_PROBABILITY:
        return low if abs(low - mean) < abs(high - mean) else high
    probability = min(max(first + share * (last - first), MIN_PROBABILITY / 2), 1 - MIN_PROBABILITY / 2)
    return min(max(normal.inv_cdf(probability), low), high)
