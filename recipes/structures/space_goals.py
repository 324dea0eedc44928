"""Random goals in space: held on faces, edges, corners or bolts of a box, loaded on faces, for every (seed, index)."""

from itertools import count

import numpy as np
from scipy.spatial import KDTree

from genloom.errors import GenloomError
from genloom.media.design.mechanics.checks import check_problem, mark_nodes
from genloom.media.design.mechanics.problem import EMPTY, FREE, SOLID, Problem, build_empty_problem, limit_volume

MIN_REACH = 0.4  # mean distance of the forces from the supports, sides being 1
_KIND = 7  # tells these draws from those of the plane
Box = tuple[np.ndarray, np.ndarray]  # the lower and upper corner, x, y, z from 0 to 1


def build_space_problem(seed: int, index: int, shape: tuple[int, int, int] = (24, 24, 24)) -> Problem:
    """Return the problem of an index, which `check_problem` accepts."""
    for attempt in count():
        rng = np.random.default_rng([seed, index, _KIND, attempt])
        problem = draw_space_problem(rng, shape)
        try:
            check_problem(problem)
        except GenloomError:
            continue
        least, greatest = limit_volume(problem)
        if 0.05 <= (problem.volume - least) / (greatest - least) <= 0.6 and measure_reach(problem) >= MIN_REACH:
            return problem
    raise AssertionError("count() has no end")


def draw_space_problem(rng: np.random.Generator, shape: tuple[int, int, int]) -> Problem:
    """Return a problem, which may be impossible."""
    cases = int(rng.choice([1, 2], p=[0.8, 0.2]))
    problem = build_empty_problem(shape, round(rng.uniform(0.12, 0.35), 3), cases)
    draw_regions(rng, problem)
    side = draw_side(rng)
    match int(rng.integers(4)):
        case 0:  # a whole face
            problem.fixed[find_nodes(problem, build_face(side))] = True
        case 1:  # two or three patches of a face, as bolts
            for _ in range(int(rng.integers(2, 4))):
                problem.fixed[find_nodes(problem, draw_patch(rng, side, 0.08, 0.25))] = True
        case 2:  # the corners of a face, as feet
            for corner in np.ndindex(2, 2):
                low, high = build_face(side)
                for axis, end in zip([axis for axis in range(3) if axis != side[0]], corner, strict=True):
                    low[axis], high[axis] = (0.0, 0.12) if end == 0 else (0.88, 1.0)
                problem.fixed[find_nodes(problem, (low, high))] = True
        case _:  # patches of two faces
            for _ in range(2):
                problem.fixed[find_nodes(problem, draw_patch(rng, draw_side(rng), 0.2, 0.6))] = True
    for case in range(cases):
        for _ in range(int(rng.choice([1, 2], p=[0.7, 0.3]))):
            nodes = find_nodes(problem, draw_patch(rng, draw_side(rng), 0.0, 0.3))
            problem.forces[case, nodes] += draw_force(rng) / max(np.count_nonzero(nodes), 1)
    problem.fixed[~mark_nodes(problem.passive != EMPTY)] = False
    return problem


def draw_regions(rng: np.random.Generator, problem: Problem) -> None:
    """Paint no region (most), an empty box or cylinder, or a solid plate on a face."""
    centres = list_places(problem, 0.5)
    choice = rng.random()
    if choice < 0.65:
        return
    low = rng.uniform(0.0, 0.6, 3)
    high = low + rng.uniform(0.2, 0.5, 3)
    value = EMPTY
    if choice < 0.8:
        inside = ((centres >= low) & (centres <= high)).all(-1)
    elif choice < 0.92:
        axis = int(rng.integers(3))
        across = np.delete(centres, axis, -1) - np.delete((low + high) / 2, axis)
        inside = np.linalg.norm(across, axis=-1) <= rng.uniform(0.1, 0.25)
    else:
        axis, end = draw_side(rng)
        inside, value = np.abs(centres[..., axis] - end) <= 2 / min(problem.shape), SOLID
    problem.passive[inside & (problem.passive == FREE)] = value


def draw_side(rng: np.random.Generator) -> tuple[int, float]:
    """Return a face: its axis, and 0 or 1."""
    return int(rng.integers(3)), float(rng.integers(2))


def build_face(side: tuple[int, float]) -> Box:
    low, high = np.zeros(3), np.ones(3)
    low[side[0]] = high[side[0]] = side[1]
    return low, high


def draw_patch(rng: np.random.Generator, side: tuple[int, float], shortest: float, longest: float) -> Box:
    """Return a rectangle of a face."""
    size = rng.uniform(shortest, longest, 3)
    low = rng.uniform(0, 1 - size)
    high = low + size
    low[side[0]] = high[side[0]] = side[1]
    return low, high


def draw_force(rng: np.random.Generator) -> np.ndarray:
    """Return a force of size 1: half of them along an axis."""
    if rng.random() < 0.5:
        return np.eye(3)[int(rng.integers(3))] * rng.choice([-1.0, 1.0])
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction)


def find_nodes(problem: Problem, box: Box) -> np.ndarray:
    """Return the nodes in a box, at least those nearest to its middle: bool [*nodes]."""
    places, (low, high) = list_places(problem, 0.0), box
    inside = np.asarray(((places >= low - 1e-9) & (places <= high + 1e-9)).all(-1))
    if inside.any():
        return inside
    distance = np.linalg.norm(places - (low + high) / 2, axis=-1)
    return distance <= distance.min() + 1e-9


def list_places(problem: Problem, offset: float) -> np.ndarray:
    """Return x, y, z from 0 to 1 of the nodes (offset 0) or the centres of elements (offset 0.5): [..., 3]."""
    sizes = problem.shape if offset else problem.nodes
    depth, height, width = (
        (np.arange(size) + offset) / elements for size, elements in zip(sizes, problem.shape, strict=True)
    )
    z, y, x = np.meshgrid(depth, 1 - height, width, indexing="ij")
    return np.stack([x, y, z], -1)


def measure_reach(problem: Problem) -> float:
    """Return the mean distance of the forces from the nearest support, by their size."""
    held, sizes = problem.fixed.any(-1), np.linalg.norm(problem.forces, axis=-1).sum(0)
    places = list_places(problem, 0.0)
    distances, _ = KDTree(places[held]).query(places[sizes > 0])
    return float(np.average(distances, weights=sizes[sizes > 0]))
