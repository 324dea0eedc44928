"""Densities and problems on grids of another resolution, which keep volumes, forces and the directions of supports.

A model of small grids makes the draft of a design on a large one: its problem is coarsened, and the draft resampled.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from genloom.media.design.mechanics.problem import EMPTY, FREE, SOLID, Problem, count_nodes

GRID_MULTIPLE = 8  # elements; the grids of networks are halved three times
MAX_GROWTH = 4  # of the elements beyond those of the training data: bars are as many elements wide on any grid


def choose_shape(shape: Sequence[int], num_elements: int, multiple: int) -> tuple[int, ...]:
    """Return the shape of about as many elements with about the same proportions, of multiples of this number."""
    scale = (num_elements / prod(shape)) ** (1 / len(shape))
    return tuple(max(round(side * scale / multiple), 1) * multiple for side in shape)


def choose_drawing_grid(shape: Sequence[int], trained: Sequence[int]) -> tuple[int, ...]:
    """Return the grid on which a model draws designs of this shape: their own, if it is about as large as trained."""
    num_elements = min(max(prod(shape), prod(trained)), MAX_GROWTH * prod(trained))
    return choose_shape(shape, num_elements, GRID_MULTIPLE)


def resample_density(density: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the means of a density over the elements of another grid on the same domain; the volume stays."""
    resampled = np.asarray(density, np.float64)
    for axis, side in enumerate(shape):
        if side != resampled.shape[axis]:
            weights = build_overlaps(resampled.shape[axis], side)
            resampled = np.moveaxis(np.tensordot(weights, resampled, (1, axis)), 0, axis)
    return resampled


def build_overlaps(length: int, new_length: int) -> np.ndarray:
    """Return the share of each new element that each old one covers, [new_length, length], on a line of both."""
    edges, new_edges = np.linspace(0, 1, length + 1), np.linspace(0, 1, new_length + 1)
    begin = np.maximum(new_edges[:-1, None], edges[None, :-1])
    end = np.minimum(new_edges[1:, None], edges[None, 1:])
    return (end - begin).clip(0) * new_length


def resample_problem(problem: Problem, shape: Sequence[int]) -> Problem:
    """Return the problem on another grid: supports and forces go to the nearest nodes, with no force lost.

    An element is passive where most of it is.
    """
    shape = tuple(shape)
    if shape == problem.shape:
        return problem
    nodes = count_nodes(shape)
    fixed = np.zeros((*nodes, problem.axes), bool)
    held = np.nonzero(problem.fixed)
    fixed[(*move_nodes(held[:-1], problem.nodes, nodes), held[-1])] = True
    forces = np.zeros((problem.cases, *nodes, problem.axes))
    loaded = np.nonzero(problem.forces)
    places = (loaded[0], *move_nodes(loaded[1:-1], problem.nodes, nodes), loaded[-1])
    np.add.at(forces, places, problem.forces[loaded])
    shares = {kind: resample_density(problem.passive == kind, shape) for kind in (SOLID, EMPTY)}
    passive = np.where(shares[SOLID] > 0.5, SOLID, np.where(shares[EMPTY] > 0.5, EMPTY, FREE)).astype(np.int8)
    size = problem.element_size * (prod(problem.shape) / prod(shape)) ** (1 / problem.axes)
    return replace(problem, fixed=fixed, forces=forces, passive=passive, element_size=size)


def move_nodes(places: Sequence[np.ndarray], nodes: Sequence[int], new_nodes: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Return the nearest nodes of another grid, an array of indices an axis."""
    return tuple(
        np.rint(index * (new - 1) / (old - 1)).astype(np.int64)
        for index, old, new in zip(places, nodes, new_nodes, strict=True)
    )
