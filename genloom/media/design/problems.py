"""Goals as a problem of mechanics, whose arrays hold what every node and element is, and the way back."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from genloom.errors import GenloomError
from genloom.media.design.document import AXES
from genloom.media.design.goals import SIDES, DesignGoals, Domain, Limits, Load, Place, Region, Support
from genloom.media.design.materials import Material
from genloom.media.design.mechanics.problem import EMPTY, FREE, SOLID, Problem

RIM = 0.75  # elements from a circle within which nodes belong to its rim
KINDS = {"solid": SOLID, "empty": EMPTY}


@lru_cache(maxsize=64)
def build_problem(goals: DesignGoals) -> Problem:
    """Return the problem of goals in SI units; GenloomError for regions that contradict each other."""
    domain = goals.domain
    nodes = tuple(size + 1 for size in domain.shape)
    fixed = np.zeros((*nodes, domain.axes), bool)
    for support in goals.supports:
        at = find_nodes(support.place, domain)
        for letter in support.hold:
            fixed[at, AXES.index(letter)] = True
    cases = goals.cases
    forces = np.zeros((len(cases), *nodes, domain.axes))
    for load in goals.loads:
        weights = find_nodes(load.place, domain) * spread_evenly(load.place, domain)
        forces[cases.index(load.case)] += (weights / weights.sum())[..., None] * np.array(load.force)
    material = goals.material
    return Problem(
        fixed,
        forces,
        build_passive(goals),
        goals.limits.volume,
        elastic_modulus=material.elastic_modulus,
        poisson_ratio=material.poisson_ratio,
        element_size=domain.element_size,
        thickness=domain.thickness or 1.0,
    )


def build_passive(goals: DesignGoals) -> np.ndarray:
    """Return which elements must be solid or empty; GenloomError if regions of both kinds share an element."""
    passive = np.full(goals.domain.shape, FREE, np.int8)
    centers = list_coordinates(goals.domain, is_nodes=False)
    for number, region in enumerate(goals.regions, start=1):
        if region.radius:
            inside = measure_distance(centers, region.start) <= region.radius
        else:
            inside = is_in_box(centers, region.start, region.end, 1e-6 * goals.domain.element_size)
        if not inside.any():
            raise GenloomError("design.region_too_small", number=number)
        kind = KINDS[region.kind]
        if (passive[inside] == -kind).any():
            raise GenloomError("design.regions_contradict", number=number, kind=region.kind)
        passive[inside] = kind
    return passive


@lru_cache(maxsize=8)
def list_coordinates(domain: Domain, is_nodes: bool) -> tuple[np.ndarray, ...]:
    """Return x, y(, z) of every node, or of the centre of every element, in metres, as arrays of their shape, which are
    not to be written to.
    """
    offset, extra = (0.0, 1) if is_nodes else (0.5, 0)
    lines = [(np.arange(count + extra) + offset) * domain.element_size for count in domain.elements]
    lines[1] = lines[1][::-1]  # row 0 is the top
    grids = np.meshgrid(*reversed(lines), indexing="ij")
    for grid in grids:
        grid.setflags(write=False)
    return tuple(reversed(grids))


def measure_distance(coordinates: Sequence[np.ndarray], center: Sequence[float]) -> np.ndarray:
    """Return the distance to the axis of a circle, which goes along z."""
    return np.hypot(coordinates[0] - center[0], coordinates[1] - center[1])


def is_in_box(
    coordinates: Sequence[np.ndarray], start: Sequence[float], end: Sequence[float], tolerance: float
) -> np.ndarray:
    bounds = zip(coordinates, start, end, strict=True)
    return np.all([(x >= low - tolerance) & (x <= high + tolerance) for x, low, high in bounds], 0)


def find_nodes(place: Place, domain: Domain) -> np.ndarray:
    """Return the nodes of a place, bool [*nodes]: the nearest to a point, those in a box, those at a rim; at least one.

    A rim is wider than half the diagonal of an element, and the corners of a box are moved to the nearest nodes.
    """
    coordinates, step = list_coordinates(domain, is_nodes=True), domain.element_size
    if place.radius:
        return np.abs(measure_distance(coordinates, place.start) - place.radius) <= RIM * step
    start, end = resolve_box(place, domain)
    low, high = (
        [round(min(max(x / step, 0), count)) * step for x, count in zip(corner, domain.elements, strict=True)]
        for corner in (start, end)
    )
    return is_in_box(coordinates, low, high, 1e-6 * step)


def resolve_box(place: Place, domain: Domain) -> tuple[Sequence[float], Sequence[float]]:
    """Return the lower and the upper corner of a place; of the side "left", those of that side of the domain."""
    if not place.side:
        return place.start, place.end
    start, end = [0.0] * domain.axes, list(domain.size)
    for word in place.side.split():
        axis, is_upper = divmod(SIDES.index(word), 2)
        start[axis] = end[axis] = domain.size[axis] if is_upper else 0.0
    return start, end


def spread_evenly(place: Place, domain: Domain) -> np.ndarray:
    """Return the share of a load that each node takes, free of scale: half at the ends of a line, so that the load on
    every length is the same.
    """
    weights = np.ones(tuple(size + 1 for size in domain.shape))
    if place.radius:
        return weights
    start, end = resolve_box(place, domain)
    coordinates = list_coordinates(domain, is_nodes=True)
    for x, low, high in zip(coordinates, start, end, strict=True):
        if high - low > 0.5 * domain.element_size:
            at_end = np.minimum(np.abs(x - low), np.abs(x - high)) < 0.5 * domain.element_size
            weights = np.where(at_end, weights / 2, weights)
    return weights


def build_goals(problem: Problem, title: str = "", material: Material | None = None) -> DesignGoals:
    """Return goals of which `build_problem` makes the same arrays, for data that begin with arrays.

    Supports are boxes of nodes that are held alike, loads are single nodes, and regions are rectangles of elements.
    """
    domain = Domain(
        tuple(reversed(problem.shape)), problem.element_size, problem.thickness if problem.axes == 2 else 0.0
    )
    codes = problem.fixed @ (1 << np.arange(domain.axes))
    supports = []
    for code in range(1, 1 << domain.axes):
        hold = "".join(AXES[axis] for axis in range(domain.axes) if code >> axis & 1)
        supports += [
            Support(Place("", *place_box(box, domain, is_nodes=True)), hold) for box in split_boxes(codes == code)
        ]
    loads = []
    for case, forces in enumerate(problem.forces, start=1):
        for index in np.argwhere(forces.any(-1)).tolist():
            point, _ = place_box([(i, i) for i in index], domain, is_nodes=True)
            force = tuple(float(x) for x in forces[tuple(index)])
            loads.append(Load(Place("", point, point), force, str(case)))
    regions = [
        Region(name, *place_box(box, domain, is_nodes=False))
        for name, kind in KINDS.items()
        for box in split_boxes(problem.passive == kind)
    ]
    own = Material("unit", problem.elastic_modulus, problem.poisson_ratio, problem.elastic_modulus, 1.0)
    limits = Limits(float(problem.volume))
    return DesignGoals(domain, tuple(supports), tuple(loads), tuple(regions), limits, material or own, title)


def split_boxes(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """Return boxes that cover a mask once, greedily: the first and the last index on each axis."""
    left, boxes = mask.copy(), []
    while left.any():
        box = [(int(i), int(i)) for i in np.unravel_index(int(left.argmax()), left.shape)]
        for axis in reversed(range(left.ndim)):
            first, last = box[axis]
            while last + 1 < left.shape[axis]:
                beyond = tuple(
                    slice(last + 1, last + 2) if a == axis else slice(b[0], b[1] + 1) for a, b in enumerate(box)
                )
                if not left[beyond].all():
                    break
                last += 1
            box[axis] = (first, last)
        left[tuple(slice(first, last + 1) for first, last in box)] = False
        boxes.append(box)
    return boxes


def place_box(
    box: Sequence[tuple[int, int]], domain: Domain, is_nodes: bool
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the corners in metres of a box of indices of nodes, or of elements with their edges."""
    step = domain.element_size
    ranges = [(first, last if is_nodes else last + 1) for first, last in reversed(box)]
    height = domain.elements[1]
    ranges[1] = (height - ranges[1][1], height - ranges[1][0])
    return tuple(low * step for low, _ in ranges), tuple(high * step for _, high in ranges)
