"""Facts of a design: its mass, its parts and holes, and how it bears its loads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import radians, tan

import numpy as np

from genloom.errors import GenloomError, format_message
from genloom.media.design.goals import DesignGoals
from genloom.media.design.libraries import import_library
from genloom.media.design.mechanics.problem import Problem
from genloom.media.design.outlines import MILLIMETRES, build_unit_domain
from genloom.media.design.problems import build_problem
from genloom.media.design.structure import Structure

SOLID_LEVEL = 0.5  # from which an element counts as material
SINGULAR_RADIUS = 2  # elements around loads and supports, where the greatest stress depends on the mesh
VOLUME_TOLERANCE = 0.005  # of the domain, by which a design may have more material than was asked for
SYMMETRY_TOLERANCE = 0.02  # mean difference of the densities
OVERHANG_DEPTH = 4  # elements
LIMIT_TOLERANCE = 1.001  # by which a stress or a displacement may be above its limit, which is rounding


@dataclass(frozen=True)
class CaseFacts:
    """The state of a design under the loads of one case."""

    name: str
    compliance: float  # J
    max_displacement: float  # m, of the solid elements
    max_stress: float  # Pa, von Mises, at the centre of an element
    max_stress_elsewhere: float  # Pa, away from loads and supports


@dataclass(frozen=True, eq=False)
class Assessment:
    """The state of a design under all its load cases, with the fields that a report draws."""

    cases: tuple[CaseFacts, ...]
    von_mises: np.ndarray  # [cases, *shape], Pa
    displacement: np.ndarray  # [cases, *nodes, axes], m
    yield_strength: float  # Pa

    @property
    def compliance(self) -> float:
        return sum(case.compliance for case in self.cases)

    @property
    def max_stress(self) -> float:
        return max(case.max_stress for case in self.cases)

    @property
    def max_displacement(self) -> float:
        return max(case.max_displacement for case in self.cases)

    @property
    def safety_factor(self) -> float:
        """The yield strength over the greatest stress."""
        return self.yield_strength / self.max_stress if self.max_stress > 0 else float("inf")


@dataclass(frozen=True)
class Parts:
    """The connected pieces of material of a design."""

    count: int
    num_floating: int  # that carry nothing
    num_holes: int  # closed voids; in three dimensions cavities
    carries_loads: bool  # whether material joins every load to a support


def assess_structure(structure: Structure) -> Assessment:
    """Return the state of a design by finite elements; GenloomError for one whose goals have no solution."""
    if structure.goals is None:
        raise GenloomError("design.goals_unknown")
    return _assess_structure(structure)


@lru_cache(maxsize=64)
def _assess_structure(structure: Structure) -> Assessment:
    from genloom.media.design.mechanics.analysis import analyze
    from genloom.media.design.mechanics.checks import check_problem

    goals = structure.goals
    assert goals is not None
    problem = build_problem(goals)
    check_problem(problem)
    state = analyze(problem, structure.density.astype(np.float64))
    is_solid = structure.density >= SOLID_LEVEL
    elsewhere = is_solid & ~find_singular_elements(problem)
    at_solid = find_solid_nodes(is_solid)
    lengths = np.linalg.norm(state.displacement, axis=-1)
    cases = tuple(
        CaseFacts(
            name,
            compliance,
            float(length[at_solid].max(initial=0.0)),
            float(stress[is_solid].max(initial=0.0)),
            float(stress[elsewhere].max(initial=0.0)),
        )
        for name, compliance, length, stress in zip(
            goals.cases, state.compliance_by_case, lengths, state.von_mises, strict=True
        )
    )
    return Assessment(cases, state.von_mises, state.displacement, goals.material.yield_strength)


def find_solid_nodes(is_solid: np.ndarray) -> np.ndarray:
    """Return the nodes at a corner of a solid element."""
    padded = np.pad(is_solid, 1)
    for axis in range(is_solid.ndim):
        size = padded.shape[axis]
        padded = padded.take(range(size - 1), axis) | padded.take(range(1, size), axis)
    return padded


def find_touching_elements(nodes: np.ndarray) -> np.ndarray:
    """Return the elements with a corner at one of these nodes."""
    for axis in range(nodes.ndim):
        size = nodes.shape[axis]
        nodes = nodes.take(range(size - 1), axis) | nodes.take(range(1, size), axis)
    return nodes


def find_singular_elements(problem: Problem) -> np.ndarray:
    """Return the elements near a load or a support."""
    at = find_touching_elements(np.asarray(problem.fixed.any(-1) | problem.forces.any((0, -1))))
    return import_library("scipy.ndimage").binary_dilation(at, iterations=SINGULAR_RADIUS)


@lru_cache(maxsize=256)
def count_parts(structure: Structure) -> Parts:
    """Return the pieces and closed holes of a design; without goals, all but one piece float."""
    from genloom.media.design.mechanics.parts import SOLID_DENSITY, find_parts

    ndimage = import_library("scipy.ndimage")
    is_solid = structure.density >= SOLID_DENSITY
    num_holes = int(ndimage.label(np.pad(~is_solid, 1, constant_values=True))[1]) - 1  # one of them is outside
    if structure.goals is None:
        count = int(ndimage.label(is_solid, np.ones((3,) * structure.axes))[1])
        return Parts(count, max(count - 1, 0), num_holes, count == 1)
    parts = find_parts(build_problem(structure.goals), structure.density)
    return Parts(int(parts.labels.max()), len(parts.floating), num_holes, not parts.unheld_loads)


def measure_mass(structure: Structure) -> float:
    """Return the mass in kg; 0 without goals."""
    goals = structure.goals
    return structure.volume * goals.domain.volume * goals.material.density if goals else 0.0


def list_faults(structure: Structure) -> list[str]:
    """List in words where a design misses its goals; an empty list if it meets them."""
    if not structure.levels.any():
        return [format_message("design.fault_empty")]
    parts, faults = count_parts(structure), []
    if parts.num_floating:
        faults.append(format_message("design.fault_floating", count=parts.num_floating))
    goals = structure.goals
    if goals is None:
        return faults
    if not parts.carries_loads:
        faults.append(format_message("design.fault_unsupported"))
    limits = goals.limits
    if structure.volume > limits.volume + VOLUME_TOLERANCE:
        faults.append(format_message("design.fault_volume", volume=structure.volume, limit=limits.volume))
    faults += list_shape_faults(structure, goals)
    if not limits.max_stress and not limits.max_displacement:
        return faults
    try:
        state = assess_structure(structure)
    except GenloomError as error:
        return [*faults, str(error)]
    if limits.max_stress and state.max_stress > LIMIT_TOLERANCE * limits.max_stress:
        stress, limit = state.max_stress / 1e6, limits.max_stress / 1e6
        faults.append(format_message("design.fault_stress", stress=stress, limit=limit))
    if limits.max_displacement and state.max_displacement > LIMIT_TOLERANCE * limits.max_displacement:
        length, limit = state.max_displacement * MILLIMETRES, limits.max_displacement * MILLIMETRES
        faults.append(format_message("design.fault_displacement", length=length, limit=limit))
    return faults


def list_shape_faults(structure: Structure, goals: DesignGoals) -> list[str]:
    """List in words where a design is too thin, hangs over too far, or is no mirror image."""
    limits, size = goals.limits, goals.domain.element_size
    faults: list[str] = []
    if limits.min_thickness > size:
        from genloom.media.design.mechanics.parts import find_thin_parts

        count = int(find_thin_parts(build_problem(goals), structure.density, limits.min_thickness / size).sum())
        if count:
            limit = limits.min_thickness * MILLIMETRES
            faults.append(format_message("design.fault_thickness", count=count, limit=limit))
    if limits.overhang and (count := count_overhanging(structure, limits.overhang)):
        faults.append(format_message("design.fault_overhang", count=count, limit=limits.overhang))
    for letter in limits.symmetry:
        mirrored = np.flip(structure.density, structure.axes - 1 - "xyz".index(letter))
        if np.abs(structure.density - mirrored).mean() > SYMMETRY_TOLERANCE:
            faults.append(format_message("design.fault_symmetry", axis=letter))
    return faults


def count_overhanging(structure: Structure, angle: float) -> int:
    """Return the solid elements without material below them within an angle from the vertical, printed upward.

    Looks up to `OVERHANG_DEPTH` elements down, which is the fineness of the angle; the bottom row lies on the plate.
    """
    ndimage = import_library("scipy.ndimage")
    is_solid = np.moveaxis(structure.density >= SOLID_LEVEL, structure.axes - 2, 0)  # from the top down
    is_held = np.zeros_like(is_solid)
    is_held[-1] = True
    for depth in range(1, min(OVERHANG_DEPTH, len(is_solid) - 1) + 1):
        reach = 2 * int(depth * tan(radians(angle)) + 0.25) + 1
        size = [1] + [reach] * (structure.axes - 1)
        is_held[:-depth] |= ndimage.maximum_filter(is_solid, size, mode="constant")[depth:]
    return int((is_solid & ~is_held).sum())


def compute_facts(structure: Structure) -> Mapping[str, float]:
    """Return facts by a name with its unit; those of loads only if the goals are known and can be computed."""
    parts = count_parts(structure)
    facts = {"volume, %": 100 * structure.volume, "parts": float(parts.count), "holes": float(parts.num_holes)}
    if structure.goals is None:
        return facts
    facts["mass, g"] = 1e3 * measure_mass(structure)
    try:
        state = assess_structure(structure)
    except GenloomError:
        return facts
    facts |= {
        "compliance, J": state.compliance,
        "displacement, mm": state.max_displacement * MILLIMETRES,
        "stress, MPa": state.max_stress / 1e6,
    }
    return {name: value for name, value in facts.items() if np.isfinite(value)}


def format_facts(structure: Structure) -> str:
    """Return the main facts in one line."""
    facts = compute_facts(structure)
    size = " × ".join(f"{MILLIMETRES * x:.4g}" for x in build_unit_domain(structure).size)
    texts = [f"{size} mm", f"{facts['volume, %']:.1f} % solid", f"{facts['holes']:.0f} holes"]
    texts += [f"{facts['mass, g']:.4g} g"] if "mass, g" in facts else []
    if "stress, MPa" in facts:
        texts += [f"{facts['displacement, mm']:.3g} mm at most", f"{facts['stress, MPa']:.3g} MPa"]
    return " · ".join(texts)


def describe_limits(goals: DesignGoals) -> list[tuple[str, str]]:
    """Return the limits as names and values for people."""
    limits = goals.limits
    rows: Sequence[tuple[str, str, bool]] = (
        ("material", f"at most {100 * limits.volume:.3g} % of the domain", True),
        ("stress", f"at most {limits.max_stress / 1e6:.4g} MPa (von Mises)", limits.max_stress > 0),
        ("displacement", f"at most {MILLIMETRES * limits.max_displacement:.4g} mm", limits.max_displacement > 0),
        ("thickness", f"at least {MILLIMETRES * limits.min_thickness:.4g} mm", limits.min_thickness > 0),
        ("symmetry", f"mirrored along {' and '.join(limits.symmetry)}", bool(limits.symmetry)),
        ("overhang", f"at most {limits.overhang:.3g}° from the vertical, printed upward", limits.overhang > 0),
    )
    return [(name, text) for name, text, is_given in rows if is_given]
