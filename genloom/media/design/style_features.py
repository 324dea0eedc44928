"""Style features of a design: what people notice first, and what a taste is about: organic, few holes, slender."""

import numpy as np

from genloom.media.design.libraries import import_library
from genloom.media.design.structure import Structure

SOLID_LEVEL = 0.5
NUM_THICKNESSES, NUM_DIRECTIONS = 6, 4
STYLE_NAMES = (
    "volume",
    "greyness",
    "parts",
    "holes",
    "mean hole",
    "largest hole",
    "perimeter",
    "roundness of holes",
    *(f"thickness {n}" for n in range(NUM_THICKNESSES)),
    "mean thickness",
    "spread of thickness",
    *(f"direction {n}" for n in range(NUM_DIRECTIONS)),
    "straightness",
    "symmetry x",
    "symmetry y",
    "centre x",
    "centre y",
)


def measure_style_features(structure: Structure) -> np.ndarray:
    """Return the features by `STYLE_NAMES`; lengths are shares of the longest side, so that the grid does not count.

    A design in three dimensions is seen from the front.
    """
    ndimage = import_library("scipy.ndimage")
    density = structure.density if structure.axes == 2 else structure.density.max(0)
    solid, size = density > SOLID_LEVEL, max(density.shape)
    _, num_parts = ndimage.label(solid)
    num_holes, areas, roundness = find_holes(solid)
    depth = ndimage.distance_transform_edt(np.pad(solid, 1))[1:-1, 1:-1]
    # The depth of a ridge is half the thickness of a bar.
    ridge = solid & (depth >= ndimage.maximum_filter(depth, 3) - 1e-9)
    thicknesses = 2 * depth[ridge] / size if ridge.any() else np.zeros(1)
    edges = 0.01 * 2.0 ** np.arange(1, NUM_THICKNESSES)
    histogram = np.bincount(np.digitize(thicknesses, edges), minlength=NUM_THICKNESSES) / len(thicknesses)
    perimeter = sum(np.abs(np.diff(np.pad(solid, 1).astype(int), axis=axis)).sum() for axis in (0, 1))
    directions, straightness = measure_directions(density)
    rows, columns = (np.arange(n) / max(n - 1, 1) - 0.5 for n in density.shape)
    weight = max(float(density.sum()), 1e-9)
    return np.array([
        density.mean(),
        (4 * density * (1 - density)).mean(),
        num_parts,
        np.log1p(num_holes),
        areas.mean() / density.size if num_holes else 0.0,
        areas.max() / density.size if num_holes else 0.0,
        perimeter / size / 4,
        roundness,
        *histogram,
        thicknesses.mean(),
        thicknesses.std(),
        *directions,
        straightness,
        np.abs(density - density[:, ::-1]).mean(),
        np.abs(density - density[::-1]).mean(),
        float(density.sum(0) @ columns) / weight,
        float(density.sum(1) @ rows) / weight,
    ], np.float64)  # fmt: skip


def find_holes(solid: np.ndarray) -> tuple[int, np.ndarray, float]:
    """Return the number and areas of closed voids, and their mean roundness (1: discs)."""
    ndimage = import_library("scipy.ndimage")
    labels, count = ndimage.label(~np.pad(solid, 1))
    outside = labels[0, 0]
    areas = np.bincount(labels.ravel(), minlength=count + 1).astype(float)
    inner = [label for label in range(1, count + 1) if label != outside]
    roundness = []
    for label in inner:
        points = np.argwhere(labels == label)
        radius = np.sqrt(len(points) / np.pi)
        spread = np.linalg.norm(points - points.mean(0), axis=1).mean()
        roundness.append(min((2 / 3 * radius) / max(spread, 1e-9), 1.0) if len(points) > 3 else 1.0)
    return len(inner), areas[inner], float(np.mean(roundness)) if roundness else 0.0


def measure_directions(density: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the histogram of the directions of edges, weighted, and how much of it lies in few directions."""
    ndimage = import_library("scipy.ndimage")
    smooth = ndimage.gaussian_filter(np.pad(density.astype(float), 2), 1.0)
    dy, dx = np.gradient(smooth)
    strength = np.hypot(dx, dy)
    angles = np.arctan2(dy, dx) % np.pi / np.pi
    total = max(float(strength.sum()), 1e-9)
    coarse = np.bincount(
        (angles * NUM_DIRECTIONS + 0.5).astype(int).ravel() % NUM_DIRECTIONS, strength.ravel(), NUM_DIRECTIONS
    )
    fine = np.bincount((angles * 36).astype(int).ravel() % 36, strength.ravel(), 36) / total
    return coarse / total, float((fine**2).sum())
