"""The finish of designs: steps of topology optimization, exact volume, floating parts removed; and what each gained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.media.design.goals import DesignGoals
from genloom.media.design.mechanics.checks import check_problem
from genloom.media.design.mechanics.design_variables import OptimizationOptions
from genloom.media.design.mechanics.optimization import Step, optimize
from genloom.media.design.mechanics.refinement import Gain, refine
from genloom.media.design.problems import build_problem
from genloom.media.design.structure import Structure

STRESS_MARGIN = 0.95  # of the limit that is aimed at, since the finish moves the stress a little
START_SPREAD = 0.25  # of the densities at the start of a further design, around the volume
START_BLUR = 0.09  # of the longest side: the size of the patches of a start


@dataclass(frozen=True)
class FinishedDesign:
    """A design, and the compliance and volume after every action of its finish."""

    structure: Structure
    gains: tuple[Gain, ...]

    @property
    def compliance(self) -> float:
        return self.gains[-1].compliance


def build_options(goals: DesignGoals) -> OptimizationOptions:
    """Return the settings of an optimization that keeps to the limits of goals."""
    limits, size = goals.limits, goals.domain.element_size
    return OptimizationOptions(
        symmetry=tuple(limits.symmetry),
        min_thickness=limits.min_thickness / size if limits.min_thickness > size else 0.0,
        max_stress=STRESS_MARGIN * limits.max_stress,
    )


def check_goals(goals: DesignGoals) -> None:
    """Raise GenloomError for goals that no design can have: no support, a mechanism, a load on nothing."""
    check_problem(build_problem(goals))


def finish_design(structure: Structure, goals: DesignGoals, steps: int) -> FinishedDesign:
    """Return a design of these goals after so many steps from a density on their grid."""
    refinement = refine(build_problem(goals), structure.density.astype(np.float64), steps, build_options(goals))
    return FinishedDesign(Structure.from_density(refinement.density, goals), refinement.gains)


def optimize_design(goals: DesignGoals, start: NDArray[np.float64] | None = None) -> Iterator[Step]:
    """Yield the steps of a topology optimization within the limits of goals; the last holds the design."""
    yield from optimize(build_problem(goals), build_options(goals), start=start)


def draw_start(goals: DesignGoals, seed: int, index: int) -> NDArray[np.float64] | None:
    """Return the densities that the design `index` begins from: uniform for the first, smooth noise for others."""
    if index == 0:
        return None
    from scipy.ndimage import gaussian_filter

    shape = goals.domain.shape
    noise = gaussian_filter(np.random.default_rng([seed, index]).normal(size=shape), START_BLUR * max(shape))
    noise /= max(float(np.abs(noise).max()), 1e-12)
    return np.clip(goals.limits.volume * (1 + 2 * START_SPREAD * noise), 0.02, 0.98)


def measure_distance(first: Structure, second: Structure) -> float:
    """Return the share of the material of two designs that only one of them has, from 0 (equal) to 1."""
    both = np.minimum(first.density, second.density).sum()
    either = np.maximum(first.density, second.density).sum()
    return float(1 - both / either) if either else 0.0


def choose_different(
    structures: Sequence[Structure], compliances: Sequence[float], count: int, slack: float
) -> list[int]:
    """Return the numbers of the stiffest design and of those most different from all before it.

    Designs softer than the stiffest by more than `slack` (0.1: a tenth) come last, the stiffest of them first.
    """
    order = sorted(range(len(structures)), key=lambda n: compliances[n])
    good = [n for n in order if compliances[n] <= (1 + slack) * compliances[order[0]]]
    chosen = good[:1]
    while len(chosen) < min(count, len(good)):
        rest = [n for n in good if n not in chosen]
        chosen.append(max(rest, key=lambda n: min(measure_distance(structures[n], structures[m]) for m in chosen)))
    return [*chosen, *[n for n in order if n not in chosen]][:count]
