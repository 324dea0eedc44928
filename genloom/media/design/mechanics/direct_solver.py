"""Direct solution of the equations of a grid: the matrix of a fixed pattern is filled, factorized and solved.

On small grids LAPACK's Cholesky factorization of a band is several times as fast as a sparse one, since the nodes of a
grid, numbered along its short axes, have a narrow band. SciPy's SuperLU, in its symmetric mode, is the other way.
Of a design that is mostly empty only the nodes of its members are solved for: fewer, and with a narrower band.
Legend: E elements, D degrees of freedom of an element, N of the grid.
"""

from collections.abc import Callable
from functools import lru_cache
from math import prod

import numpy as np
import scipy.sparse as sparse
from scipy import ndimage
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import splu

from genloom.media.design.mechanics.elements import build_element_stiffness, list_element_freedoms
from genloom.media.design.mechanics.interpolation import MEMBER_MODULUS

MIN_MEMBER_SIZE = 4000  # degrees of freedom, below which all are solved for
MAX_SHARE = 0.75  # of members among the elements, above which all are solved for
_LEAST_PIVOT = 1e-6  # of the factor, as a share of the greatest; a mechanism has about 1e-8


class Pattern:
    """The entries of the lower triangle of a grid's matrix, and what each element adds to them."""

    def __init__(self, shape: tuple[int, ...], poisson_ratio: float) -> None:
        axes = len(shape)
        nodes = tuple(size + 1 for size in shape)
        # Nodes are numbered along the shortest axis first, which keeps the band narrow.
        order = sorted(range(axes), key=lambda axis: -nodes[axis])
        numbers = np.arange(prod(nodes)).reshape([nodes[axis] for axis in order]).transpose(np.argsort(order))
        self.order_N = (numbers.reshape(-1, 1) * axes + np.arange(axes)).ravel()  # number of each degree of freedom
        self.size = self.order_N.size
        freedoms_ED = self.order_N[list_element_freedoms(shape)]
        row, column = np.tril_indices(freedoms_ED.shape[1])
        ends = freedoms_ED[:, row], freedoms_ED[:, column]
        keys = np.minimum(*ends) * self.size + np.maximum(*ends)
        unique, entries = np.unique(keys, return_inverse=True)
        self.columns, self.rows = np.divmod(unique, self.size)
        self.band = int((self.rows - self.columns).max())
        stiffness = build_element_stiffness(axes, poisson_ratio)[row, column]
        values = np.broadcast_to(stiffness, keys.shape)
        elements = np.broadcast_to(np.arange(len(keys))[:, None], keys.shape)
        self.assembly = sparse.csr_array(
            (values.ravel(), (entries.ravel(), elements.ravel())), shape=(len(unique), len(keys))
        )
        self.band_positions = self.columns * (self.band + 1) + self.rows - self.columns
        self.freedoms_ED = freedoms_ED
        self.shape, self.axes = shape, axes
        is_node = (self.rows % axes == 0) & (self.columns % axes == 0)
        ends = self.rows[is_node] // axes, self.columns[is_node] // axes
        self.node_graph = sparse.csr_array(
            (np.ones(2 * len(ends[0]), np.int8), (np.concatenate(ends), np.concatenate(ends[::-1]))),
            shape=(self.size // axes,) * 2,
        )


@lru_cache(maxsize=4)
def build_pattern(shape: tuple[int, ...], poisson_ratio: float) -> Pattern:
    """Return the pattern of a grid, which all its problems share."""
    return Pattern(shape, poisson_ratio)


class DirectSolver:
    """The equations of one grid and its supports; `factorize` for the moduli of the elements, then `solve`."""

    def __init__(self, fixed: np.ndarray, poisson_ratio: float, *, is_banded: bool = True) -> None:
        """Take the supports, bool [*nodes, axes]; `is_banded`: by the band, or by SuperLU."""
        shape = tuple(size - 1 for size in fixed.shape[:-1])
        self._pattern = pattern = build_pattern(shape, poisson_ratio)
        is_fixed_N = np.zeros(pattern.size, bool)
        is_fixed_N[pattern.order_N] = fixed.ravel()
        self._is_fixed_N = is_fixed_N
        self._removed = np.flatnonzero(is_fixed_N[pattern.rows] | is_fixed_N[pattern.columns])
        self._held = np.flatnonzero(is_fixed_N[pattern.rows] & (pattern.rows == pattern.columns))
        self.is_banded = is_banded
        self._is_at_support = self._is_fixed_N[pattern.freedoms_ED].any(1)
        self._solve: Callable[[np.ndarray], np.ndarray] | None = None
        self._moduli_E = np.zeros(0)
        self._is_left_out: np.ndarray | None = None

    def factorize(self, moduli_E: np.ndarray) -> None:
        """Factorize the matrix for the moduli of the elements, in C order."""
        self._moduli_E = moduli_E
        if not (self.is_banded and self._pattern.size >= MIN_MEMBER_SIZE and self._factorize_members()):
            self._factorize_all()

    def _assemble(self, moduli_E: np.ndarray) -> np.ndarray:
        """Return the entries of the matrix, with 1 on the diagonal of what is held."""
        values = self._pattern.assembly @ moduli_E
        values[self._removed] = 0
        values[self._held] = 1
        return values

    def solve(self, forces: np.ndarray) -> np.ndarray:
        """Return the displacements under forces, both [cases, *nodes, axes]."""
        assert self._solve is not None, "factorize first"
        forces_NC = np.zeros((self._pattern.size, len(forces)), order="F")
        forces_NC[self._pattern.order_N] = forces.reshape(len(forces), -1).T
        forces_NC[self._is_fixed_N] = 0
        if self._is_left_out is not None and forces_NC[self._is_left_out].any():
            self._factorize_all()  # a force acts on a place that is empty
        return self._solve(forces_NC)[self._pattern.order_N].T.reshape(forces.shape)

    def _factorize_all(self) -> None:
        self._is_left_out = None
        factorize = self._factorize_band if self.is_banded else self._factorize_sparse
        self._solve = factorize(self._assemble(self._moduli_E))

    def _factorize_members(self) -> bool:
        """Factorize the equations of what is not empty, and return whether that is possible: nothing hangs loose."""
        pattern, moduli_E = self._pattern, self._moduli_E
        is_member_E = moduli_E > MEMBER_MODULUS
        if np.count_nonzero(is_member_E) > MAX_SHARE * len(moduli_E):
            return False
        labels, _ = ndimage.label(is_member_E.reshape(pattern.shape), np.ones((3,) * pattern.axes))
        labels_E = labels.ravel()
        is_held = np.zeros(labels_E.max() + 1, bool)
        is_held[labels_E[self._is_at_support]] = True
        is_held[0] = False
        is_solved_N = np.zeros(pattern.size, bool)
        is_solved_N[pattern.freedoms_ED[is_held[labels_E]]] = True
        nodes = np.flatnonzero(is_solved_N[:: pattern.axes])
        if not len(nodes):
            return False
        order = nodes[reverse_cuthill_mckee(pattern.node_graph[nodes][:, nodes], symmetric_mode=True)]
        solved = (order[:, None] * pattern.axes + np.arange(pattern.axes)).ravel()
        numbers_N = np.full(pattern.size, -1)
        numbers_N[solved] = np.arange(len(solved))
        ends = numbers_N[pattern.rows], numbers_N[pattern.columns]
        low, high = np.minimum(*ends), np.maximum(*ends)
        is_kept = low >= 0
        low, offsets = low[is_kept], (high - low)[is_kept]
        width = int(offsets.max()) + 1
        band = np.zeros(len(solved) * width)
        band[low * width + offsets] = self._assemble(np.where(is_member_E, moduli_E, 0.0))[is_kept]
        try:
            factor = cholesky_banded(band.reshape(-1, width).T, lower=True, overwrite_ab=True, check_finite=False)
        except LinAlgError:
            return False
        if factor[0].min() < _LEAST_PIVOT * factor[0].max():
            return False

        def solve_members(forces_NC: np.ndarray) -> np.ndarray:
            solution = np.zeros_like(forces_NC)
            solution[solved] = cho_solve_banded((factor, True), forces_NC[solved], check_finite=False)
            return solution

        self._solve, self._is_left_out = solve_members, numbers_N < 0
        return True

    def _factorize_band(self, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        pattern = self._pattern
        band = np.zeros(pattern.size * (pattern.band + 1))
        band[pattern.band_positions] = values
        factor = cholesky_banded(
            band.reshape(pattern.size, pattern.band + 1).T, lower=True, overwrite_ab=True, check_finite=False
        )
        return lambda forces_NC: cho_solve_banded((factor, True), forces_NC, overwrite_b=True, check_finite=False)

    def _factorize_sparse(self, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        pattern = self._pattern
        lower = sparse.coo_array((values, (pattern.rows, pattern.columns)), shape=(pattern.size,) * 2)
        is_below = pattern.rows != pattern.columns
        upper = sparse.coo_array(
            (values[is_below], (pattern.columns[is_below], pattern.rows[is_below])), shape=lower.shape
        )
        matrix = (lower + upper).tocsc()
        factor = splu(
            matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True, "Equil": False}
        )
        return factor.solve


def measure_band(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the degrees of freedom of a grid, and how far from the diagonal the entries of its matrix reach."""
    axes, nodes = len(shape), sorted(size + 1 for size in shape)
    strides = [prod(nodes[:k]) for k in range(axes)]
    return prod(nodes) * axes, (sum(strides) + 1) * axes - 1
