"""Plane problems turned and mirrored: the eight symmetries of the square, under which a best design turns along.

Turn k, from 0 to 7, is k % 4 quarter turns to the left, as one sees the grid; if k >= 4, after a mirroring of x.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from genloom.media.design.mechanics.problem import Problem

NUM_TURNS = 8


def list_turns(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the turns after which a grid has the shape it had: all eight of a square, none but 0 in space."""
    if len(shape) != 2:
        return (0,)
    return tuple(range(0, NUM_TURNS, 1 if shape[0] == shape[1] else 2))


def turn_array(values: np.ndarray, turn: int) -> np.ndarray:
    """Return an array with the last two axes (y, x) turned."""
    mirrored = values[..., ::-1] if turn >= NUM_TURNS // 2 else values
    return np.ascontiguousarray(np.rot90(mirrored, turn % 4, axes=(-2, -1)))


def turn_problem(problem: Problem, turn: int) -> Problem:
    """Return a plane problem turned, with its supports and forces."""
    assert problem.axes == 2, "turns are those of a plane"
    matrix = build_turn_matrix(turn)
    forces = np.moveaxis(turn_array(np.moveaxis(problem.forces, -1, 0), turn), 0, -1) @ matrix.T
    fixed = np.moveaxis(turn_array(np.moveaxis(problem.fixed, -1, 0), turn), 0, -1)
    fixed = fixed if matrix[0, 0] else fixed[..., ::-1]  # quarter turns exchange x and y
    return replace(
        problem, fixed=np.ascontiguousarray(fixed), forces=forces + 0.0, passive=turn_array(problem.passive, turn)
    )


def build_turn_matrix(turn: int) -> np.ndarray:
    """Return the 2 x 2 matrix that turns a vector (x, y), y upward."""
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    mirror = np.diag([-1.0, 1.0]) if turn >= NUM_TURNS // 2 else np.eye(2)
    return np.linalg.matrix_power(quarter, turn % 4) @ mirror
