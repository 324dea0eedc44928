"""A plane problem that is drawn: places of the unit square, held, loaded and painted on a grid of any size."""

from dataclasses import dataclass

import numpy as np

from genloom.media.design.mechanics.checks import mark_nodes
from genloom.media.design.mechanics.problem import EMPTY, FREE, SOLID, Problem, build_empty_problem

SIDES = ("left", "right", "bottom", "top")


@dataclass(frozen=True)
class Disc:
    """A circle and its inside; x to the right, y up, from 0 to 1."""

    x: float
    y: float
    radius: float


class Canvas:
    """The arrays of a problem, and the coordinates of its nodes and elements."""

    def __init__(self, shape: tuple[int, int], volume: float, cases: int) -> None:
        self.problem = build_empty_problem(shape, volume, cases)
        rows, columns = shape
        self.node_y, self.node_x = np.meshgrid(
            np.linspace(1, 0, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij"
        )
        self.y, self.x = np.meshgrid(
            1 - (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij"
        )
        self.step = 1 / min(shape)  # the size of an element

    def find_side(self, side: str, start: float = 0.0, end: float = 1.0) -> np.ndarray:
        """Return the nodes of a side between two places on it, at least one: bool [*nodes]."""
        across, along = (self.node_x, self.node_y) if side in ("left", "right") else (self.node_y, self.node_x)
        is_there = across == (0.0 if side in ("left", "bottom") else 1.0)
        middle = (start + end) / 2
        nearest = np.abs(np.where(is_there, along, np.inf) - middle)
        return is_there & (((along >= start - 1e-9) & (along <= end + 1e-9)) | (nearest == nearest.min()))

    def find_rim(self, disc: Disc) -> np.ndarray:
        """Return the nodes of the ring around a hole."""
        inside = mark_nodes(self.is_inside(disc))
        ring = self.is_inside(Disc(disc.x, disc.y, disc.radius + 1.5 * self.step)) & ~self.is_inside(disc)
        return inside & mark_nodes(ring)

    def find_disc(self, disc: Disc) -> np.ndarray:
        """Return the nodes in a disc, at least one."""
        distance = np.hypot(self.node_x - disc.x, self.node_y - disc.y)
        return (distance <= disc.radius) | (distance == distance.min())

    def is_inside(self, disc: Disc) -> np.ndarray:
        """Return the elements whose centre is in a disc."""
        return np.hypot(self.x - disc.x, self.y - disc.y) <= disc.radius

    def is_in_box(self, x: tuple[float, float], y: tuple[float, float], angle: float = 0.0) -> np.ndarray:
        """Return the elements whose centre is in a box, turned about its middle."""
        middle_x, middle_y = sum(x) / 2, sum(y) / 2
        dx, dy = self.x - middle_x, self.y - middle_y
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        return (np.abs(along) <= (x[1] - x[0]) / 2) & (np.abs(across) <= (y[1] - y[0]) / 2)

    def hold_nodes(self, nodes: np.ndarray, components: str = "xy") -> None:
        for name in components:
            self.problem.fixed[nodes, "xy".index(name)] = True

    def load_nodes(self, nodes: np.ndarray, case: int, force: tuple[float, float]) -> None:
        """Share a force among nodes evenly."""
        self.problem.forces[case, nodes] += np.array(force) / max(np.count_nonzero(nodes), 1)

    def paint_region(self, elements: np.ndarray, value: int) -> None:
        """Make elements SOLID or EMPTY; the earlier region wins."""
        passive = self.problem.passive
        passive[elements & (passive == FREE)] = value

    def paint_hole(self, disc: Disc) -> np.ndarray:
        """Paint a hole with a solid ring, and return the nodes of its rim."""
        rim = self.find_rim(disc)
        self.paint_region(self.is_inside(disc), EMPTY)
        self.paint_region(self.is_inside(Disc(disc.x, disc.y, disc.radius + 2 * self.step)), SOLID)
        return rim

    def measure_reach(self) -> float:
        """Return the mean distance of the forces from the nearest support, by their size; sides are 1."""
        held, sizes = self.problem.fixed.any(-1), np.linalg.norm(self.problem.forces, axis=-1).sum(0)
        places = np.stack([self.node_x, self.node_y], -1)
        distances = np.linalg.norm(places[sizes > 0][:, None] - places[held][None], axis=-1).min(1)
        return float(np.average(distances, weights=sizes[sizes > 0]))

    def build_problem(self) -> Problem:
        """Return the problem, without supports that later regions have cut off."""
        self.problem.fixed[~mark_nodes(self.problem.passive != EMPTY)] = False
        return self.problem
