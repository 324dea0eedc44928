"""Measures of designs for the goals that they were made for, in black and white, so that no grey counts as stiff."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.parts import find_parts
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem

OUTLIER = 10.0  # compliance error, 1,000 %: the load is hardly carried; its size says nothing more


@dataclass(frozen=True)
class DesignMeasures:
    """Measures of a design for a problem."""

    compliance: float  # of the design in black and white at the volume that was asked for
    volume_error: float  # of the design as it is, relative to the volume that was asked for
    floating: int  # parts that carry nothing
    unheld_loads: int  # nodes with a force that no solid part joins to a support


def measure_design(problem: Problem, density: np.ndarray) -> DesignMeasures:
    """Return the measures of a density [*shape]."""
    solid = choose_solid(problem, density)
    parts = find_parts(problem, solid)
    volume_error = abs(float(np.mean(density)) / problem.volume - 1)
    return DesignMeasures(analyze(problem, solid).compliance, volume_error, len(parts.floating), parts.unheld_loads)


def choose_solid(problem: Problem, density: np.ndarray) -> np.ndarray:
    """Return the densest elements as 1 and the others as 0, as many as the volume allows; passive regions are kept."""
    order = np.where(problem.passive == SOLID, np.inf, np.where(problem.passive == EMPTY, -np.inf, density))
    count = round(problem.volume * order.size)
    solid = np.zeros(order.size)
    solid[np.argsort(-order, axis=None, kind="stable")[:count]] = 1
    return solid.reshape(problem.shape)


@dataclass(frozen=True)
class ErrorSummary:
    """Compliance errors over many problems, as shares: 0.01 is 1 %."""

    mean: float  # without outliers, as in the literature
    median: float  # of all
    outliers: int
    count: int

    def __str__(self) -> str:
        outliers = f", {self.outliers} above 1,000 % left out of the mean" if self.outliers else ""
        return f"{self.mean:.2%} mean, {self.median:.2%} median{outliers}"


def summarize_errors(compliances: Sequence[float], references: Sequence[float]) -> ErrorSummary:
    """Return the errors of compliances against those of reference designs of the same problems."""
    errors = np.array(compliances) / np.array(references) - 1
    kept = errors[errors <= OUTLIER]
    mean = float(kept.mean()) if len(kept) else float("inf")
    return ErrorSummary(mean, float(np.median(errors)), len(errors) - len(kept), len(errors))
