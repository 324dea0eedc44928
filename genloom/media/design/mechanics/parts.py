"""The connected parts of a design: floating ones, forces that nothing carries, and members that are too thin."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import brentq

from genloom.media.design.mechanics.checks import mark_nodes
from genloom.media.design.mechanics.filters import build_filter, project_density
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem

SOLID_DENSITY = 0.5  # elements of this density and above are solid
_THRESHOLDS = 0.02, 0.98  # of the projection that meets a volume
_BLURS = 1.5, 3.0, 6.0, 12.0  # radii of the filter, in elements


@dataclass(frozen=True, eq=False)
class Parts:
    """The solid elements of a design by the parts that they belong to; elements that share a node hang together."""

    labels: np.ndarray  # int [*shape]: 0 where empty, else the number of the part
    carrying: tuple[int, ...]  # parts with a force and a support
    floating: tuple[int, ...]  # parts that carry nothing and need not be there
    idle: tuple[int, ...]  # parts that carry nothing but hold a region that must be solid
    unheld_loads: int  # nodes with a force that no part joins to a support

    @property
    def is_sound(self) -> bool:
        """Whether every force reaches a support, and every part carries one."""
        return not self.floating and not self.idle and not self.unheld_loads


def find_parts(problem: Problem, density: np.ndarray) -> Parts:
    """Return the parts of a design, density [*shape]."""
    is_solid = density >= SOLID_DENSITY
    labels, number = ndimage.label(is_solid, np.ones((3,) * density.ndim))
    is_loaded, is_held = (problem.forces != 0).any((0, -1)), problem.fixed.any(-1)
    carrying, floating, idle = [], [], []
    is_carried = is_loaded & (problem.fixed | (problem.forces == 0)).all((0, -1))  # into the support itself
    for label in range(1, number + 1):
        part = labels == label
        nodes = mark_nodes(part)
        if (nodes & is_loaded).any() and (nodes & is_held).any():
            carrying.append(label)
            is_carried |= nodes
        else:
            (idle if (problem.passive[part] == SOLID).any() else floating).append(label)
    return Parts(labels, tuple(carrying), tuple(floating), tuple(idle), int(np.count_nonzero(is_loaded & ~is_carried)))


def remove_floating_parts(problem: Problem, density: np.ndarray) -> np.ndarray:
    """Return the density without its floating parts, nor the grey rims of them."""
    parts = find_parts(problem, density)
    if not parts.floating:
        return density
    is_floating = np.isin(parts.labels, parts.floating)
    is_kept = ndimage.binary_dilation((parts.labels > 0) & ~is_floating, np.ones((3,) * density.ndim))
    rims = ndimage.binary_dilation(is_floating, np.ones((3,) * density.ndim)) & ~is_kept
    return np.where((is_floating | rims) & (problem.passive != SOLID), 0.0, density)


def find_thin_parts(problem: Problem, density: np.ndarray, thickness: float) -> np.ndarray:
    """Return the elements of members thinner than `thickness` elements: bool [*shape].

    A member is thick enough where a disc of that diameter fits; corners, which no disc fills, are left out. So are
    regions that must be solid.
    """
    is_solid = density >= SOLID_DENSITY
    # The domain ends where the part may go on, or is held: its border cuts no member.
    pad = int(np.ceil(thickness))
    padded = np.pad(is_solid, pad, mode="edge")
    opened = ndimage.binary_opening(padded, build_ball(density.ndim, thickness))
    reached = ndimage.binary_dilation(opened, np.ones((3,) * density.ndim))
    inside = (slice(pad, -pad),) * density.ndim
    return is_solid & ~reached[inside] & (problem.passive != SOLID)


def build_ball(axes: int, diameter: float) -> np.ndarray:
    """Return the elements of a disc or ball of a diameter in elements: bool, as wide on each axis."""
    width = max(round(diameter), 1)
    offsets = np.arange(width) - (width - 1) / 2
    grids = np.meshgrid(*[offsets] * axes, indexing="ij")
    return np.sum([grid**2 for grid in grids], axis=0) <= (width / 2) ** 2


def count_holes(density: np.ndarray) -> int:
    """Return the number of holes of a plane design: empty parts that do not reach the border."""
    padded = np.pad(density < SOLID_DENSITY, 1, constant_values=True)
    return int(ndimage.label(padded)[1]) - 1


def fit_volume(problem: Problem, density: np.ndarray, sharpness: float = 8.0) -> np.ndarray:
    """Return the density moved up or down, most where it is grey, so that the problem's volume is met exactly.

    The threshold of a projection does it, as Xu, Cai and Cheng (2010) do within an optimization. Where a design has too
    few grey elements for that, its outline grows or shrinks: the density is blurred first, as much as is needed.
    """
    is_solid, is_empty = problem.passive == SOLID, problem.passive == EMPTY

    def measure_excess(threshold: float) -> float:
        return float(build_density(threshold).mean()) - problem.volume

    for radius in (0.0, *_BLURS):
        blurred = (build_filter(problem.shape, radius) @ density.ravel()).reshape(problem.shape) if radius else density

        def build_density(threshold: float, blurred: np.ndarray = blurred) -> np.ndarray:
            return np.where(is_solid, 1.0, np.where(is_empty, 0.0, project_density(blurred, sharpness, threshold)))

        if measure_excess(_THRESHOLDS[0]) >= 0 >= measure_excess(_THRESHOLDS[1]):
            return build_density(brentq(measure_excess, *_THRESHOLDS, xtol=1e-12))
    return build_density(_THRESHOLDS[0] if measure_excess(_THRESHOLDS[0]) < 0 else _THRESHOLDS[1])
