"""Checks of a problem before it is solved: what is missing or impossible, with its cure.

A part is held if no rigid movement of its pieces is free. Pieces of the grid that share an edge (a face in three
dimensions) move as one rigid body, those that share only nodes are hinged there; the rank of the equations that
supports and hinges put on the movements says whether any is left (`find_free_movement`).
"""

from math import prod

import numpy as np
from scipy import ndimage

from genloom.errors import GenloomError
from genloom.media.design.mechanics.elements import list_corners
from genloom.media.design.mechanics.problem import EMPTY, Problem, limit_volume

MAX_ELEMENTS = {2: 250_000, 3: 64_000}  # by the number of axes: a step of an optimization takes seconds
MIN_ELEMENTS = 4  # on an axis
MAX_PIECES = 64  # of the grid outside its empty regions
_RANK_TOLERANCE = 1e-9


def check_problem(problem: Problem) -> None:
    """Raise GenloomError with the first fault of a problem: after this, `analyze` and `optimize` have a solution."""
    check_grid(problem)
    check_volume(problem)
    check_loads(problem)
    check_supports(problem)


def check_grid(problem: Problem) -> None:
    """Raise if a grid has too few or too many elements."""
    text, limit = "×".join(map(str, reversed(problem.shape))), MAX_ELEMENTS[problem.axes]
    if min(problem.shape) < MIN_ELEMENTS:
        raise GenloomError("mechanics.too_small", elements=text, limit=MIN_ELEMENTS)
    if prod(problem.shape) > limit:
        raise GenloomError("mechanics.too_large", elements=text, count=prod(problem.shape), limit=limit)


def check_volume(problem: Problem) -> None:
    """Raise if the volume cannot be met beside the passive regions."""
    if not 0 < problem.volume <= 1:
        raise GenloomError("mechanics.volume_range", volume=problem.volume)
    least, greatest = limit_volume(problem)
    if greatest == 0:
        raise GenloomError("mechanics.all_empty")
    if problem.volume <= least and least > 0:
        raise GenloomError("mechanics.volume_too_small", volume=problem.volume, least=least)
    if problem.volume > greatest:
        raise GenloomError("mechanics.volume_too_large", volume=problem.volume, greatest=greatest)


def check_loads(problem: Problem) -> None:
    """Raise if a load case has no force, or one on nothing or on a node that cannot move."""
    is_touched = find_touched_nodes(problem)
    for case, forces in enumerate(problem.forces, 1):
        if not np.isfinite(forces).all():
            raise GenloomError("mechanics.endless_load", case=case)
        is_loaded = forces != 0
        if not is_loaded.any():
            raise GenloomError("mechanics.no_load", case=case)
        if (is_loaded.any(-1) & ~is_touched).any():
            raise GenloomError(
                "mechanics.load_on_nothing", case=case, place=_name_node(is_loaded.any(-1) & ~is_touched)
            )
        if not (is_loaded & ~problem.fixed).any():
            raise GenloomError("mechanics.load_on_support", case=case)


def check_supports(problem: Problem) -> None:
    """Raise if the grid, without its empty regions, is not held."""
    is_touched = find_touched_nodes(problem)
    if not problem.fixed.any():
        raise GenloomError("mechanics.no_support")
    if not (problem.fixed.any(-1) & is_touched).any():
        raise GenloomError("mechanics.support_on_nothing", place=_name_node(problem.fixed.any(-1)))
    if movement := find_free_movement(problem, problem.passive != EMPTY):
        raise GenloomError("mechanics.mechanism", movement=movement)


def find_touched_nodes(problem: Problem) -> np.ndarray:
    """Return which nodes belong to an element that may be solid: bool [*nodes]."""
    return mark_nodes(problem.passive != EMPTY)


def mark_nodes(is_solid: np.ndarray) -> np.ndarray:
    """Return which nodes belong to elements: bool [*nodes]."""
    marked = np.zeros([size + 1 for size in is_solid.shape], bool)
    for corner in list_corners(is_solid.ndim):
        marked[tuple(slice(c, c - 1 or None) for c in corner)] |= is_solid
    return marked


def find_free_movement(problem: Problem, is_solid: np.ndarray) -> str:
    """Return how loaded elements can move freely, "slide along x" or "turn"; "" if they are held.

    Pieces without a path to a force are left out: they carry nothing.
    """
    labels, num_pieces = ndimage.label(is_solid)
    if num_pieces > MAX_PIECES:
        raise GenloomError("mechanics.too_many_pieces", count=num_pieces, limit=MAX_PIECES)
    nodes_by_piece = [mark_nodes(labels == piece) for piece in range(1, num_pieces + 1)]
    is_loaded = (problem.forces != 0).any((0, -1))
    groups = _join_pieces(nodes_by_piece)
    loaded = [group for group in groups if any((nodes_by_piece[piece] & is_loaded).any() for piece in group)]
    for group in loaded:
        if movement := _find_movement(problem, [nodes_by_piece[piece] for piece in group]):
            return movement
    return ""


def _join_pieces(nodes_by_piece: list[np.ndarray]) -> list[list[int]]:
    """Return the groups of pieces that hang together by nodes."""
    groups: list[list[int]] = []
    for piece, nodes in enumerate(nodes_by_piece):
        touching = [group for group in groups if any((nodes_by_piece[other] & nodes).any() for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append([other for group in touching for other in group] + [piece])
    return groups


def _find_movement(problem: Problem, pieces: list[np.ndarray]) -> str:
    """Return a movement of a group of rigid pieces that neither supports nor hinges prevent."""
    modes = [build_rigid_modes(problem, nodes) for nodes in pieces]  # [nodes of the piece, axes, modes]
    num_modes = modes[0].shape[-1]
    rows = []
    for piece, nodes in enumerate(pieces):
        held = problem.fixed[nodes]
        block = np.zeros((np.count_nonzero(held), len(pieces) * num_modes))
        block[:, piece * num_modes : (piece + 1) * num_modes] = modes[piece][held]
        rows.append(block)
        for other in range(piece):
            shared = nodes & pieces[other]
            here, there = modes[piece][shared[nodes]], modes[other][shared[pieces[other]]]
            block = np.zeros((here.shape[0] * here.shape[1], len(pieces) * num_modes))
            block[:, piece * num_modes : (piece + 1) * num_modes] = here.reshape(-1, num_modes)
            block[:, other * num_modes : (other + 1) * num_modes] = -there.reshape(-1, num_modes)
            rows.append(block)
    equations = np.concatenate(rows)
    # The equations are squared, which keeps the matrix small however many nodes are held.
    values, vectors = np.linalg.eigh(equations.T @ equations)
    free = vectors[:, values <= _RANK_TOLERANCE * max(values[-1], 1.0)]
    return _name_movement(free, num_modes, problem.axes) if free.size else ""


def build_rigid_modes(problem: Problem, nodes: np.ndarray) -> np.ndarray:
    """Return the rigid movements of nodes (bool [*nodes]): [count, axes, 3 or 6], slides then turns, scaled to 1."""
    axes = problem.axes
    places = np.argwhere(nodes)[:, ::-1] * np.array([1, -1, 1])[:axes]  # x, y(, z)
    places = (places - places.mean(0)) / max(problem.shape)
    turns = [(0, 1)] if axes == 2 else [(1, 2), (2, 0), (0, 1)]
    modes = np.zeros((len(places), axes, axes + len(turns)))
    for k in range(axes):
        modes[:, k, k] = 1
    for index, (j, k) in enumerate(turns, start=axes):
        modes[:, j, index], modes[:, k, index] = -places[:, k], places[:, j]
    return modes


def _name_movement(free: np.ndarray, num_modes: int, axes: int) -> str:
    """Return the name of the clearest free movement."""
    strengths = (free.reshape(-1, num_modes, free.shape[1]) ** 2).sum((0, 2))
    index = int(np.argmax(np.round(strengths, 6)))
    if index < axes:
        return f"slide along {'xyz'[index]}"
    return "turn" if axes == 2 else f"turn about {'xyz'[index - axes]}"


def _name_node(where: np.ndarray | np.bool) -> str:
    """Return the place of the first node of some, in elements from the lower left corner."""
    where = np.asarray(where)
    place = np.argwhere(where)[0]
    place[-2] = where.shape[-2] - 1 - place[-2]
    return ", ".join(f"{name} = {number}" for name, number in zip("xyz", place[::-1].tolist(), strict=False))
