"""The variables of an optimization, and the densities that they stand for: filtered, projected, passive, mirrored."""

from dataclasses import dataclass

import numpy as np

from genloom.media.design.mechanics.filters import build_filter, differentiate_projection, project_density
from genloom.media.design.mechanics.overhang import print_density, pull_back_printing
from genloom.media.design.mechanics.problem import FREE, SOLID, Problem

ERODED = 0.75  # threshold of the projection of the design that is optimized where members have a least thickness


@dataclass(frozen=True)
class Stage:
    """A part of an optimization: at most so many steps at one sharpness of the projection."""

    sharpness: float  # 0: no projection
    steps: int
    tolerance: float = 0.08  # it ends when no variable changes by more


STAGES = (Stage(0, 20), Stage(3, 10), Stage(8, 10), Stage(16, 8))
THICK_STAGES = tuple(Stage(sharpness, 20, 0.05) for sharpness in (0, 1.5, 3, 6, 12, 24))  # for wide filters


@dataclass(frozen=True)
class OptimizationOptions:
    """The settings of an optimization; lengths in elements."""

    filter_radius: float = 1.5
    penalty: float = 3.0
    stages: tuple[Stage, ...] = ()  # none: those that fit the least thickness
    move: float = 0.2  # of a variable in one step, at most
    symmetry: tuple[str, ...] = ()  # the axes, "x", "y" or "z", along which a design is mirrored about its middle
    min_thickness: float = 0.0  # of members
    max_stress: float = 0.0  # von Mises, Pa; 0: no limit
    is_self_supporting: bool = False  # printable from the bottom up, with overhangs of at most 45 degrees

    @property
    def schedule(self) -> tuple[Stage, ...]:
        """The stages of an optimization."""
        return self.stages or (THICK_STAGES if self.min_thickness > 0 else STAGES)

    @property
    def radius(self) -> float:
        """The radius of the filter: with ERODED it is the least thickness of members (Wang et al. 2011)."""
        return max(self.filter_radius, self.min_thickness)

    @property
    def threshold(self) -> float:
        """The threshold of the projection of the densities whose compliance is minimized."""
        return ERODED if self.min_thickness > 0 else 0.5


class DesignVariables:
    """The map from variables (flat, one an element) to densities, and that of gradients back."""

    def __init__(self, problem: Problem, options: OptimizationOptions) -> None:
        self.problem, self.options = problem, options
        self._filter = build_filter(problem.shape, options.radius)
        self._transposed = self._filter.T.tocsr()
        passive = problem.passive.ravel()
        self.is_free, self._solid = passive == FREE, (passive == SOLID).astype(float)
        self._is_all_free = bool(self.is_free.all())
        self._is_solid = problem.passive == SOLID

    def build_start(self, start: np.ndarray | None) -> np.ndarray:
        """Return the variables of a density, or of a uniform one."""
        num_free, size = max(np.count_nonzero(self.is_free), 1), self.is_free.size
        uniform = np.clip((self.problem.volume * size - self._solid.sum()) / num_free, 0, 1)
        variables = np.full(size, uniform) if start is None else start.ravel().astype(float)
        return self.mirror_values(self.set_passive(variables))

    def set_passive(self, values: np.ndarray) -> np.ndarray:
        """Return values that are 1 and 0 where the problem demands it."""
        return values if self._is_all_free else np.where(self.is_free, values, self._solid)

    def _to_grid(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(self.problem.shape)

    def mirror_values(self, values: np.ndarray) -> np.ndarray:
        """Return values that are the same on both sides of the planes of symmetry."""
        for name in self.options.symmetry:
            axis = self.problem.axes - 1 - "xyz".index(name)
            grid = self._to_grid(values)
            values = ((grid + np.flip(grid, axis)) / 2).ravel()
        return values

    def build_density(self, variables: np.ndarray, sharpness: float, threshold: float = 0.5) -> np.ndarray:
        """Return the densities, flat."""
        density = self.set_passive(project_density(self._filter @ variables, sharpness, threshold))
        if not self.options.is_self_supporting:
            return density
        return self.set_passive(print_density(self._to_grid(density), self._is_solid).ravel())

    def pull_back(
        self, gradient: np.ndarray, variables: np.ndarray, sharpness: float, threshold: float = 0.5
    ) -> np.ndarray:
        """Return the gradient by the variables of a gradient by the densities."""
        if self.options.is_self_supporting:
            density = self.set_passive(project_density(self._filter @ variables, sharpness, threshold))
            masked = self._to_grid(gradient * self.is_free)
            gradient = pull_back_printing(masked, self._to_grid(density), self._is_solid).ravel()
        slope = differentiate_projection(self._filter @ variables, sharpness, threshold) * self.is_free
        return self.mirror_values(self._transposed @ (gradient * slope)) * self.is_free
