"""The optimality criteria method: a step of a design that minimizes compliance within a volume.

Bendsøe 1995; the multiplier of the volume is found by bracketing in its logarithm.
"""

from collections.abc import Callable
from math import exp, log

import numpy as np
from scipy.optimize import brentq

_REACH = 0.3  # of the first bracket around the expected logarithm of the multiplier, to either side
_MAX_REACH = 60.0
_TOLERANCE = 1e-5  # of the logarithm of the multiplier


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
    # With this multiplier the variables have the same sum as before, were there no bounds.
    guess = 2 * log(max(float(roots.sum()), 1e-150) / max(float(variables.sum()), 1e-150))

    def build_variables(log_multiplier: float) -> np.ndarray:
        return np.clip(roots * exp(-0.5 * log_multiplier), low, high)

    def measure_excess(log_multiplier: float) -> float:
        return measure_volume(build_variables(log_multiplier)) - target

    ends = {}
    for sign in (-1, 1):
        reach = _REACH
        while sign * (excess := measure_excess(guess + sign * reach)) > 0 and reach < _MAX_REACH:
            reach *= 4
        ends[sign] = guess + sign * reach, excess
    (start, excess), (end, lack) = ends[-1], ends[1]
    if excess <= 0:
        return build_variables(start)
    if lack >= 0:
        return build_variables(end)
    return build_variables(brentq(measure_excess, start, end, xtol=_TOLERANCE))
