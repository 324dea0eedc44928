"""Designs as solids in millimetres for printers and CAD: STL, 3MF and OBJ, watertight or refused.

A plane design is its outline, extruded. One in three dimensions is cut by marching cubes at the level at which the
volume is that of the density, and clipped at the domain; regions that must be solid or empty are exact.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.design.goals import DesignGoals, Region
from genloom.media.design.libraries import import_library
from genloom.media.design.outlines import (
    CIRCLE_SEGMENTS,
    MILLIMETRES,
    PADDING,
    SMOOTHING,
    build_section,
    build_unit_domain,
)
from genloom.media.design.structure import Structure

SUFFIXES = (".stl", ".3mf", ".obj")
MIN_PART = 0.5  # voxels; smaller parts are left out


@lru_cache(maxsize=16)
def build_solid(structure: Structure) -> Any:
    """Return the design as a Manifold of manifold3d in mm; GenloomError if nothing of it is solid."""
    domain = build_unit_domain(structure)
    if structure.axes == 2:
        solid = build_section(structure).extrude(domain.thickness * MILLIMETRES)
    else:
        solid = build_voxel_solid(structure)
    manifold = import_library("manifold3d")
    if solid.is_empty() or solid.status() != manifold.Error.NoError:
        raise GenloomError("design.nothing_to_export")
    return solid


def build_voxel_solid(structure: Structure) -> Any:
    """Return a design in three dimensions as a Manifold, y upward."""
    manifold = import_library("manifold3d")
    if not structure.levels.any():
        raise GenloomError("design.nothing_to_export")
    ndimage = import_library("scipy.ndimage")
    domain = build_unit_domain(structure)
    step = domain.element_size * MILLIMETRES
    padded = np.pad(structure.density.astype(np.float64), PADDING, mode="edge")
    smooth = ndimage.gaussian_filter(padded, SMOOTHING, mode="nearest")
    inner = smooth[(slice(PADDING, -PADDING),) * 3]
    level = float(np.quantile(inner, 1 - min(max(structure.volume, 1e-3), 0.999))) + 1e-7
    box = manifold.Manifold.cube([size * MILLIMETRES for size in domain.size])
    solid = cut_voxels(smooth, min(max(level, 1e-3), 1 - 1e-3), step, domain.elements[1]) ^ box
    solid = unite_solid_regions(solid, structure.goals, box)
    parts = [part for part in solid.decompose() if part.volume() >= MIN_PART * step**3]
    return manifold.Manifold.compose(parts)


def cut_voxels(samples: np.ndarray, level: float, step: float, height: int) -> Any:
    """Return where samples (z, y, x; row 0 of y is the top) are above a level, the domain from the origin on."""
    manifold, measure = import_library("manifold3d"), import_library("skimage.measure")
    vertices, faces, _, _ = measure.marching_cubes(np.pad(samples, 1, constant_values=-1.0), level)
    z, y, x = (vertices - 0.5 - PADDING).T
    points = np.stack((x, height - y, z), 1) * step
    mesh = manifold.Mesh(points.astype(np.float32), faces.astype(np.uint32))
    mesh.merge()
    solid = manifold.Manifold(mesh)
    if solid.status() == manifold.Error.NoError and solid.volume() < 0:  # its faces look inward
        solid = manifold.Manifold(manifold.Mesh(points.astype(np.float32), faces[:, ::-1].astype(np.uint32)))
    if solid.status() != manifold.Error.NoError:
        raise GenloomError("design.no_solid", reason=solid.status().name)
    return solid


def unite_solid_regions(solid: Any, goals: DesignGoals | None, box: Any) -> Any:
    """Return a solid with the solid regions of its goals and without the empty ones."""
    for region in goals.regions if goals else ():
        shape = build_region_solid(region, goals)
        solid = solid + (shape ^ box) if region.kind == "solid" else solid - shape
    return solid


def build_region_solid(region: Region, goals: Any) -> Any:
    """Return a box, or a cylinder along z through the whole domain."""
    manifold = import_library("manifold3d")
    if region.radius:
        depth = goals.domain.size[2] * MILLIMETRES
        shape = manifold.Manifold.cylinder(depth, region.radius * MILLIMETRES, circular_segments=CIRCLE_SEGMENTS)
        return shape.translate([MILLIMETRES * region.start[0], MILLIMETRES * region.start[1], 0])
    size = [MILLIMETRES * (high - low) for low, high in zip(region.start, region.end, strict=True)]
    return manifold.Manifold.cube(size).translate([MILLIMETRES * x for x in region.start])


def write_solid(structure: Structure, suffix: str) -> bytes:
    """Return an STL, 3MF or OBJ file; GenloomError (design.not_watertight) rather than one with an open surface."""
    trimesh = import_library("trimesh")
    mesh = build_solid(structure).to_mesh()
    solid = trimesh.Trimesh(np.asarray(mesh.vert_properties)[:, :3], np.asarray(mesh.tri_verts), process=False)
    solid.units = "millimeter"
    data = solid.export(file_type=suffix.removeprefix("."))
    data = data.encode() if isinstance(data, str) else bytes(data)
    if not read_solid(data, suffix).is_watertight:
        raise GenloomError("design.not_watertight", suffix=suffix)
    return data


def read_solid(data: bytes, suffix: str) -> Any:
    """Return the mesh of a file that was written here, as any program reads it."""
    import io

    return import_library("trimesh").load(io.BytesIO(data), file_type=suffix.removeprefix("."), force="mesh")
