"""The outline of a plane design: closed curves in millimetres, smooth inside, exact at the domain and at its regions.

The density is smoothed a little, cut at the level at which the area is the share of the density, and clipped; discs
and boxes that must be solid or empty are united with it and cut out of it, so that a bolt hole is round.
"""

from functools import lru_cache
from math import cos, pi, sin
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.design.goals import DesignGoals, Domain, Region
from genloom.media.design.libraries import import_library
from genloom.media.design.structure import Structure

SMOOTHING = 0.7  # elements, of a Gaussian
FINENESS = 3  # samples of an element on each axis
PADDING = 3  # elements around the domain, which repeat its border
LEVEL_STEPS = 14  # of a bisection, which halves the error of the area each time
TOLERANCE = 0.04  # elements, by which an outline may be simplified
MERGE_DISTANCE = 0.02  # elements; parts that touch in a point become one
MIN_PART = 0.5  # elements; smaller parts and holes are left out
CIRCLE_SEGMENTS = 96
MILLIMETRES = 1e3
Polygon = np.ndarray  # [points, 2] in mm: counterclockwise around material, clockwise around a hole


def build_unit_domain(structure: Structure) -> Domain:
    """Return the domain of a structure; of one without goals, elements of 1 mm, and plane ones 1 mm thick."""
    if structure.goals is not None:
        return structure.goals.domain
    return Domain(tuple(reversed(structure.shape)), 1e-3, 1e-3 if structure.axes == 2 else 0.0)


@lru_cache(maxsize=32)
def build_section(structure: Structure) -> Any:
    """Return the material of a plane design as a CrossSection of manifold3d, in mm; GenloomError if there is none."""
    if structure.axes != 2:
        raise GenloomError("design.outline_of_solid")
    if not structure.levels.any():
        raise GenloomError("design.nothing_to_export")
    manifold = import_library("manifold3d")
    domain = build_unit_domain(structure)
    step = domain.element_size * MILLIMETRES
    samples = sample_smoothly(structure.density)
    box = manifold.CrossSection.square([size * MILLIMETRES for size in domain.size])
    wanted = structure.volume * box.area()
    low, high, section = 0.0, 1.0, box
    for _ in range(LEVEL_STEPS):
        level = (low + high) / 2 + 1e-7
        section = cut_samples(samples, level, step) ^ box
        low, high = (level, high) if section.area() > wanted else (low, level)
    section = unite_regions(section, structure.goals, box)
    for distance in (MERGE_DISTANCE * step, -MERGE_DISTANCE * step):
        section = section.offset(distance, manifold.JoinType.Miter)  # which keeps corners sharp
    section = drop_small_parts((section ^ box).simplify(TOLERANCE * step), MIN_PART * step**2)
    if section.is_empty():
        raise GenloomError("design.nothing_to_export")
    return section


def sample_smoothly(density: np.ndarray) -> np.ndarray:
    """Return the smoothed density at `FINENESS` points an element on each axis, with the border repeated around it."""
    ndimage = import_library("scipy.ndimage")
    padded = np.pad(density.astype(np.float64), PADDING, mode="edge")
    smooth = ndimage.gaussian_filter(padded, SMOOTHING, mode="nearest")
    lines = [(np.arange(size * FINENESS) + 0.5) / FINENESS - 0.5 for size in smooth.shape]
    return ndimage.map_coordinates(smooth, np.meshgrid(*lines, indexing="ij"), order=2, mode="nearest")


def cut_samples(samples: np.ndarray, level: float, step: float) -> Any:
    """Return where samples are above a level, with the lower left corner of the domain as the origin."""
    manifold, measure = import_library("manifold3d"), import_library("skimage.measure")
    rows = samples.shape[0]
    contours = measure.find_contours(np.pad(samples, 1, constant_values=-1.0), level)
    fine = step / FINENESS
    # A sample lies in the middle of its cell; the array was padded by one cell.
    points = [
        np.stack(((each[:, 1] - 0.5) * fine - PADDING * step, (rows - (each[:, 0] - 0.5)) * fine - PADDING * step), 1)
        for each in contours
    ]
    return manifold.CrossSection([each[:-1] for each in points], manifold.FillRule.EvenOdd)


def unite_regions(section: Any, goals: DesignGoals | None, box: Any) -> Any:
    """Return a section with the solid regions of its goals and without the empty ones."""
    for region in goals.regions if goals else ():
        shape = build_region_section(region)
        section = section + (shape ^ box) if region.kind == "solid" else section - shape
    return section


def build_region_section(region: Region) -> Any:
    """Return a disc or a box as a CrossSection in mm."""
    manifold = import_library("manifold3d")
    if region.radius:
        angles = [2 * pi * n / CIRCLE_SEGMENTS for n in range(CIRCLE_SEGMENTS)]
        points = [
            [
                MILLIMETRES * (region.start[0] + region.radius * cos(a)),
                MILLIMETRES * (region.start[1] + region.radius * sin(a)),
            ]
            for a in angles
        ]
    else:
        (x0, y0, *_), (x1, y1, *_) = region.start, region.end
        points = [[MILLIMETRES * x, MILLIMETRES * y] for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    return manifold.CrossSection([points], manifold.FillRule.EvenOdd)


def drop_small_parts(section: Any, area: float) -> Any:
    """Return a section without parts and holes below an area."""
    manifold = import_library("manifold3d")
    polygons = [polygon for polygon in section.to_polygons() if abs(measure_area(polygon)) >= area]
    return manifold.CrossSection(polygons, manifold.FillRule.EvenOdd) if polygons else manifold.CrossSection()


def measure_area(polygon: Polygon) -> float:
    """Return the area inside a closed curve, below 0 if it runs clockwise."""
    x, y = np.asarray(polygon, np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def list_outlines(structure: Structure) -> list[Polygon]:
    """Return the closed curves of a plane design in mm, the largest first."""
    polygons = [np.asarray(polygon, np.float64) for polygon in build_section(structure).to_polygons()]
    return sorted(polygons, key=lambda polygon: -abs(measure_area(polygon)))
