"""Plots of a report: stress and displacement in colours with their scale, and the way of an optimization."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from genloom.media.design.facts import SOLID_LEVEL, Assessment
from genloom.media.design.goals import DesignGoals
from genloom.media.design.outlines import MILLIMETRES
from genloom.media.design.structure import Structure

WIDTH = 5.2  # inches of a plot
DPI = 150


def build_figure(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure and its axes, without the state that pyplot keeps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def to_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def project_front(values: np.ndarray) -> np.ndarray:
    """Return a plane array as it is, and of one in three dimensions the greatest along the depth."""
    return values if values.ndim == 2 else values.max(0)


def average_lengths(displacement: np.ndarray) -> np.ndarray:
    """Return the length of the displacement of each element: the mean of its corners."""
    lengths = np.linalg.norm(displacement, axis=-1)
    for axis in range(lengths.ndim):
        size = lengths.shape[axis]
        lengths = (lengths.take(range(size - 1), axis) + lengths.take(range(1, size), axis)) / 2
    return lengths


def draw_field(structure: Structure, values: np.ndarray, label: str, limit: float = 0.0) -> bytes:
    """Return a field over the material of a design with its colour bar as PNG; `limit` is a line in the bar.

    A cross marks the greatest value.
    """
    goals = structure.goals
    assert goals is not None, "a report is about goals"
    field = project_front(np.where(structure.density >= SOLID_LEVEL, values, -np.inf))
    masked = np.ma.masked_invalid(field)
    width, height = (MILLIMETRES * size for size in goals.domain.size[:2])
    figure, axes = build_figure(WIDTH, max(1.6, min((WIDTH - 1.2) * height / width + 0.5, 6.5)))
    image = axes.imshow(masked, cmap="turbo", extent=(0, width, 0, height), interpolation="nearest", vmin=0)
    bar = figure.colorbar(image, ax=axes, label=label, fraction=0.05, pad=0.02)
    if limit and limit <= masked.max():
        bar.ax.axhline(limit, color="black", linewidth=2)
    row, column = np.unravel_index(int(np.argmax(field)), field.shape)
    step = MILLIMETRES * goals.domain.element_size
    axes.plot((column + 0.5) * step, height - (row + 0.5) * step, "x", color="black", markersize=8, markeredgewidth=2)
    axes.set_xlabel("x, mm")
    axes.set_ylabel("y, mm")
    axes.set_xlim(-0.02 * width, 1.02 * width)
    axes.set_ylim(-0.02 * height, 1.02 * height)
    return to_png(figure)


def draw_stress(structure: Structure, state: Assessment, case: int, limit: float) -> bytes:
    """Return the von Mises stress of a load case in MPa."""
    return draw_field(structure, state.von_mises[case] / 1e6, "von Mises stress, MPa", limit / 1e6)


def draw_displacement(structure: Structure, state: Assessment, case: int) -> bytes:
    """Return the displacement of a load case in mm."""
    return draw_field(structure, average_lengths(state.displacement[case]) * MILLIMETRES, "displacement, mm")


def draw_history(compliances: Sequence[float]) -> bytes:
    """Return the compliance after each step of an optimization."""
    figure, axes = build_figure(WIDTH, 2.2)
    axes.plot(range(len(compliances)), compliances, color="#0072b2", marker=".", markersize=3, linewidth=1.2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter("{x:.3g}")
    axes.set_xlabel("step")
    axes.set_ylabel("compliance, J")
    axes.grid(True, alpha=0.3)
    return to_png(figure)


def refine_mesh(structure: Structure) -> Structure:
    """Return the same design on elements half as large."""
    from dataclasses import replace

    goals = structure.goals
    assert goals is not None, "a report is about goals"
    levels = structure.levels
    for axis in range(levels.ndim):
        levels = levels.repeat(2, axis)
    domain = goals.domain
    finer = replace(
        domain, elements=tuple(2 * count for count in domain.elements), element_size=domain.element_size / 2
    )
    fine_goals: DesignGoals = replace(goals, domain=finer)
    return Structure(levels, fine_goals)
