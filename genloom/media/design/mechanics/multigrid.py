"""Conjugate gradients with geometric multigrid, for grids whose factors would be too large (Amir et al. 2014).

Each level halves the grid; its element matrices are the Galerkin products of those of the level below, so that no
sparse product is formed. The finest level is applied element by element.
Legend: E elements, D degrees of freedom of an element, N nodes times components, C load cases.
"""

from functools import lru_cache
from math import prod

import numpy as np
import scipy.sparse as sparse
from scipy.linalg import cho_factor, cho_solve

from genloom.media.design.mechanics.elements import (
    build_element_stiffness,
    gather_corners,
    list_corners,
    list_element_freedoms,
    scatter_corners,
)

TOLERANCE = 1e-6  # of the residual, as a share of the forces
MAX_ITERATIONS = 500
_COARSEST = 1200  # degrees of freedom, which are solved directly
_SWEEPS = 3  # degree of the Chebyshev smoother
_SPREAD = 5.0  # it damps the eigenvalues from a fifth of the greatest to the greatest
_POWER_STEPS = 10  # to find the greatest eigenvalue of a coarse level


@lru_cache(maxsize=4)
def build_transfers(axes: int) -> np.ndarray:
    """Return how the corners of each small element follow those of the large one: [2**axes, D, D]."""
    corners = np.array(list_corners(axes))
    transfers = np.zeros((len(corners), len(corners), len(corners)))
    for child, offset in enumerate(corners):
        places = (offset + corners) / 2  # in the large element, 0 to 1
        for corner, place in enumerate(places):
            transfers[child, corner] = np.where(corners == 1, place, 1 - place).prod(1)
    return np.kron(transfers, np.eye(axes)[None])


class _Level:
    """A coarse grid: its assembled matrix and the smoother's diagonal."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.axes = shape, len(shape)
        self.nodes = tuple(size + 1 for size in shape)
        freedoms_ED = list_element_freedoms(shape)
        self.size = prod(self.nodes) * self.axes
        width = freedoms_ED.shape[1]
        keys = (np.repeat(freedoms_ED, width, 1) * self.size + np.tile(freedoms_ED, width)).ravel()
        unique, self.entries = np.unique(keys, return_inverse=True)
        rows, self.columns = np.divmod(unique, self.size)
        self.starts = np.searchsorted(rows, np.arange(self.size + 1))
        self.diagonal_entries = np.flatnonzero(rows == self.columns)

    def assemble(self, matrices_EDD: np.ndarray) -> None:
        """Assemble the matrix; freedoms without stiffness get 1."""
        values = np.bincount(self.entries, matrices_EDD.ravel(), len(self.columns))
        diagonal = values[self.diagonal_entries]
        is_loose = diagonal <= 1e-14 * diagonal.max()
        values[self.diagonal_entries[is_loose]] = diagonal.max()
        self.matrix = sparse.csr_array((values, self.columns, self.starts), shape=(self.size, self.size))
        self.inverse_diagonal = 1 / values[self.diagonal_entries][:, None]
        self.greatest = self._estimate_greatest()

    def _estimate_greatest(self) -> float:
        """Return a little more than the greatest eigenvalue of the matrix scaled by its diagonal (power method)."""
        vector = np.sin(np.arange(1.0, self.size + 1))[:, None] ** 3
        for _ in range(_POWER_STEPS):
            vector = self.inverse_diagonal * self.apply(vector / np.linalg.norm(vector))
        return 1.2 * float(np.linalg.norm(vector))

    def apply(self, values_NC: np.ndarray) -> np.ndarray:
        return self.matrix @ values_NC


class _FinestLevel:
    """The grid itself, of elements with one modulus each; held freedoms have the row and column of 1."""

    def __init__(self, shape: tuple[int, ...], poisson_ratio: float, is_free_N: np.ndarray) -> None:
        self.shape, self.axes = shape, len(shape)
        self.nodes = tuple(size + 1 for size in shape)
        self.stiffness_DD = build_element_stiffness(self.axes, poisson_ratio)
        self.is_free_N = is_free_N[:, None].astype(float)
        # No eigenvalue of a sum of elements, scaled by its diagonal, exceeds those of the element.
        scale = np.diag(self.stiffness_DD) ** -0.5
        self.greatest = float(np.linalg.eigvalsh(scale[:, None] * self.stiffness_DD * scale)[-1])

    def set_moduli(self, moduli_E: np.ndarray) -> None:
        self.moduli = moduli_E[None, :, None]
        diagonal = scatter_corners(self.moduli * np.diag(self.stiffness_DD), self.shape).reshape(-1, 1)
        self.inverse_diagonal = self.is_free_N / np.where(diagonal > 0, diagonal, 1)

    def apply(self, values_NC: np.ndarray) -> np.ndarray:
        grid = np.ascontiguousarray((values_NC * self.is_free_N).T).reshape(-1, *self.nodes, self.axes)
        forces = scatter_corners((gather_corners(grid) @ self.stiffness_DD) * self.moduli, self.shape)
        return forces.reshape(len(grid), -1).T * self.is_free_N


class MultigridSolver:
    """The equations of one grid and its supports; it begins each solution from the one before."""

    def __init__(self, fixed: np.ndarray, poisson_ratio: float) -> None:
        """Take the supports, bool [*nodes, axes]."""
        self._shape = tuple(size - 1 for size in fixed.shape[:-1])
        axes = len(self._shape)
        depth = count_levels(self._shape)
        padded = tuple(-(-size // 2**depth) * 2**depth for size in self._shape)
        self._pad = [(0, big - size) for big, size in zip(padded, self._shape, strict=True)]
        is_free = np.zeros((*(size + 1 for size in padded), axes), bool)
        is_free[tuple(slice(size) for size in fixed.shape[:-1])] = ~fixed
        self._is_free = is_free.ravel()
        self._finest = _FinestLevel(padded, poisson_ratio, self._is_free)
        self._levels = [_Level(tuple(size >> k for size in padded)) for k in range(1, depth + 1)]
        self._transfers = build_transfers(axes)
        self._prolongations = [build_prolongation(level.shape) for level in self._levels]
        keep = sparse.diags_array(self._is_free.astype(float))
        self._prolongations[0] = (keep @ self._prolongations[0]).tocsr()
        self._restrictions = [matrix.T.tocsr() for matrix in self._prolongations]
        touched = (~self._is_free)[list_element_freedoms(padded)].any(1)
        self._touched = np.flatnonzero(touched)
        self._free_corners = self._is_free[list_element_freedoms(padded)[self._touched]].astype(float)
        self._last: np.ndarray | None = None
        self.iterations = 0  # of the last solution

    def factorize(self, moduli_E: np.ndarray) -> None:
        """Prepare the levels for the moduli of the elements, in C order."""
        moduli = np.pad(moduli_E.reshape(self._shape), self._pad).ravel()
        self._finest.set_moduli(moduli)
        stiffness = self._finest.stiffness_DD
        children = list_children(self._finest.shape)  # [coarse elements, children]
        products = np.einsum("oki,kl,olj->oij", self._transfers, stiffness, self._transfers, optimize=True)
        weights = moduli.copy()
        weights[self._touched] = 0
        matrices = np.tensordot(weights[children], products, 1)
        # Elements at supports: their held freedoms do not move.
        masked = stiffness * (moduli[self._touched, None, None] * self._free_corners[:, :, None])
        masked *= self._free_corners[:, None, :]
        parent, child = locate_children(self._finest.shape, self._touched)
        transfers = self._transfers[child]
        np.add.at(matrices, parent, transfers.transpose(0, 2, 1) @ masked @ transfers)
        for index, level in enumerate(self._levels):
            if index:
                children = list_children(self._levels[index - 1].shape)
                matrices = sum(
                    self._transfers[o].T @ matrices[children[:, o]] @ self._transfers[o]
                    for o in range(len(self._transfers))
                )
            level.assemble(np.asarray(matrices))
        self._coarsest = cho_factor(self._levels[-1].matrix.toarray(), check_finite=False)

    def solve(self, forces: np.ndarray) -> np.ndarray:
        """Return the displacements under forces, both [cases, *nodes, axes]."""
        cases = len(forces)
        grid = np.zeros((cases, *self._finest.nodes, self._finest.axes))
        inside = (slice(None), *(slice(size) for size in forces.shape[1:-1]))
        grid[inside] = forces
        right_NC = grid.reshape(cases, -1).T * self._finest.is_free_N
        solution = self._iterate(right_NC)
        return np.ascontiguousarray(solution.T.reshape(grid.shape)[inside])

    def _iterate(self, right_NC: np.ndarray) -> np.ndarray:
        """Return the solution by conjugate gradients, all cases at once."""
        norms = np.maximum(np.linalg.norm(right_NC, axis=0), 1e-300)
        solution = self._last if self._last is not None and self._last.shape == right_NC.shape else 0 * right_NC
        residual = right_NC - self._finest.apply(solution)
        if (np.linalg.norm(residual, axis=0) > norms).any():  # a start from 0 is nearer
            solution, residual = 0 * right_NC, right_NC.copy()
        direction, old = np.zeros_like(right_NC), np.ones(right_NC.shape[1])
        for self.iterations in range(MAX_ITERATIONS):
            if (np.linalg.norm(residual, axis=0) <= TOLERANCE * norms).all():
                break
            corrected = self._apply_cycle(residual, -1)
            new = (residual * corrected).sum(0)
            direction = corrected + direction * (new / np.where(old > 0, old, 1) if self.iterations else 0)
            image = self._finest.apply(direction)
            work = (direction * image).sum(0)
            length = np.where(work > 0, new / np.where(work > 0, work, 1), 0)
            solution, residual, old = solution + length * direction, residual - length * image, new
        self._last = solution
        return solution

    def _apply_cycle(self, residual: np.ndarray, index: int) -> np.ndarray:
        """Return the correction of one V cycle from a level; -1 is the finest."""
        if index == len(self._levels) - 1:
            return cho_solve(self._coarsest, residual, check_finite=False)
        level = self._finest if index < 0 else self._levels[index]
        correction = smooth_residual(level, residual)
        coarse = self._restrictions[index + 1] @ (residual - level.apply(correction))
        correction += self._prolongations[index + 1] @ self._apply_cycle(coarse, index + 1)
        return correction + smooth_residual(level, residual - level.apply(correction))


def smooth_residual(level: _Level | _FinestLevel, residual: np.ndarray) -> np.ndarray:
    """Return the correction of a residual by the Chebyshev smoother (Saad 2003, algorithm 12.1)."""
    low, high = level.greatest / _SPREAD, level.greatest
    middle, half = (high + low) / 2, (high - low) / 2
    ratio = half / middle
    change = level.inverse_diagonal * residual / middle
    correction = change.copy()
    for _ in range(_SWEEPS - 1):
        residual = residual - level.apply(change)
        following = 1 / (2 * middle / half - ratio)
        change = following * ratio * change + 2 * following / half * (level.inverse_diagonal * residual)
        correction += change
        ratio = following
    return correction


def count_levels(shape: tuple[int, ...]) -> int:
    """Return how often a grid is halved: until its equations are few, and at least once."""
    axes, depth = len(shape), 1
    while depth < 8 and prod(-(-size // 2**depth) + 1 for size in shape) * axes > _COARSEST and min(shape) >> depth > 1:
        depth += 1
    return depth


def list_children(shape: tuple[int, ...]) -> np.ndarray:
    """Return the small elements of each large one: [large elements, 2**axes], in the order of the corners."""
    numbers = np.arange(prod(shape)).reshape(shape)
    return np.stack(
        [numbers[tuple(slice(o, None, 2) for o in offset)].ravel() for offset in list_corners(len(shape))], 1
    )


def locate_children(shape: tuple[int, ...], elements: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the large element of each small one, and which child of it that is."""
    places = np.stack(np.unravel_index(elements, shape))
    parents = np.ravel_multi_index(tuple(places // 2), tuple(size // 2 for size in shape))
    return parents, np.ravel_multi_index(tuple(places % 2), (2,) * len(shape))


def build_prolongation(shape: tuple[int, ...]) -> sparse.csr_array:
    """Return the linear interpolation from the freedoms of a grid to those of one of twice its elements."""
    matrix = sparse.csr_array(np.ones((1, 1)))
    for size in shape:
        fine = np.arange(2 * size + 1)
        rows, columns = np.concatenate([fine, fine[1::2]]), np.concatenate([fine // 2, fine[1::2] // 2 + 1])
        weights = np.concatenate([np.where(fine % 2, 0.5, 1.0), np.full(size, 0.5)])
        along = sparse.coo_array((weights, (rows, columns)), shape=(2 * size + 1, size + 1))
        matrix = sparse.kron(matrix, along)
    return sparse.kron(matrix, sparse.eye_array(len(shape))).tocsr()
