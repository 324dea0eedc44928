"""The optimality criteria method: a step of a design that minimizes compliance within a volume.

Bendsøe 1995; the multiplier of the volume is found by bracketing in its logarithm.
"""

from collections.abc import Callable
from math import exp, log

import numpy as np
from scipy.optimize import brentq

_SPAN = 40.0  # of the logarithm of the multiplier, to either side of the middle
_TOLERANCE = 1e-4  # of the logarithm of the multiplier


def update_densities(
    variables: np.ndarray,
    gradient: np.ndarray,
    volume_gradient: np.ndarray,
    measure_volume: Callable[[np.ndarray], float],
    target: float,
    *,
    bounds: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Return the variables after one step.

    Takes the gradients of the compliance (nowhere positive) and of the volume by the variables, and the bounds of this
    step. `measure_volume` returns the volume of variables; the result has `target`, or the bound nearest to it.
    """
    low, high = bounds
    ratio = np.maximum(-gradient, 0) / np.maximum(volume_gradient, 1e-12)
    roots = variables * np.sqrt(ratio)
    middle = log(max(float(ratio.mean()), 1e-300))

    def build_variables(log_multiplier: float) -> np.ndarray:
        return np.clip(roots * exp(-0.5 * log_multiplier), low, high)

    def measure_excess(log_multiplier: float) -> float:
        return measure_volume(build_variables(log_multiplier)) - target

    start, end = middle - _SPAN, middle + _SPAN
    if measure_excess(start) <= 0:
        return build_variables(start)
    if measure_excess(end) >= 0:
        return build_variables(end)
    return build_variables(brentq(measure_excess, start, end, xtol=_TOLERANCE))
