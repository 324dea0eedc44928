"""The printing filter: densities that can be printed from the bottom up, with overhangs of at most 45 degrees.

Every element gets at most the density of the elements that support it in the row below: the one below and its
neighbours (Langelaar 2016, 2017). Maximum and minimum are smooth, so that the gradient goes through all rows.
"""

import numpy as np

_EXPONENT = 40.0  # of the smooth maximum
_NEUTRAL = 0.5  # the density at which the smooth maximum is exact
_SOFTNESS = 1e-4  # of the smooth minimum


def print_density(density: np.ndarray, is_solid: np.ndarray) -> np.ndarray:
    """Return the densities [*shape] that are printed; the bottom row lies on the plate, what must be solid is."""
    rows = np.moveaxis(density, -2, 0)[::-1]  # from the bottom up
    solid = np.moveaxis(is_solid, -2, 0)[::-1]
    printed = np.empty_like(rows)
    printed[0] = rows[0]
    for row in range(1, len(rows)):
        limit = _find_supported(printed[row - 1])[0]
        printed[row] = np.where(solid[row], rows[row], _take_minimum(rows[row], limit))
    return np.moveaxis(printed[::-1], 0, -2)


def pull_back_printing(gradient: np.ndarray, density: np.ndarray, is_solid: np.ndarray) -> np.ndarray:
    """Return the gradient by the densities of a gradient by the printed ones."""
    rows, solid = np.moveaxis(density, -2, 0)[::-1], np.moveaxis(is_solid, -2, 0)[::-1]
    printed = np.moveaxis(print_density(density, is_solid), -2, 0)[::-1]
    total = np.moveaxis(gradient, -2, 0)[::-1].copy()
    result = np.empty_like(total)
    for row in range(len(rows) - 1, 0, -1):
        limit, sums = _find_supported(printed[row - 1])
        root = np.sqrt((rows[row] - limit) ** 2 + _SOFTNESS)
        by_density = np.where(solid[row], 1.0, 0.5 * (1 - (rows[row] - limit) / root))
        by_limit = np.where(solid[row], 0.0, 0.5 * (1 + (rows[row] - limit) / root))
        result[row] = total[row] * by_density
        share = (
            total[row]
            * by_limit
            * _EXPONENT
            / _find_root(limit.ndim)
            * np.where(sums > 0, limit / np.maximum(sums, 1e-300), 0)
        )
        total[row - 1] += _sum_neighbours(share) * printed[row - 1] ** (_EXPONENT - 1)
    result[0] = total[0]
    return np.moveaxis(result[::-1], 0, -2)


def _take_minimum(density: np.ndarray, limit: np.ndarray) -> np.ndarray:
    return 0.5 * (density + limit - np.sqrt((density - limit) ** 2 + _SOFTNESS) + np.sqrt(_SOFTNESS))


def _find_supported(below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smooth maximum of the supporting elements, and the sum of powers that it is the root of."""
    sums = _sum_neighbours(below**_EXPONENT)
    return sums ** (1 / _find_root(below.ndim)), sums


def _sum_neighbours(values: np.ndarray) -> np.ndarray:
    """Return the sum over an element and its neighbours on each axis of a row."""
    total = values.copy()
    for axis in range(values.ndim):
        ahead, behind = [slice(None)] * values.ndim, [slice(None)] * values.ndim
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        total[tuple(behind)] += values[tuple(ahead)]
        total[tuple(ahead)] += values[tuple(behind)]
    return total


def _find_root(axes: int) -> float:
    """Return the root that makes the smooth maximum exact at the neutral density."""
    return _EXPONENT + np.log(1 + 2 * axes) / np.log(_NEUTRAL)
