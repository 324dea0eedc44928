"""The element of a grid: stiffness, strain and elasticity of a square (plane stress) or a cube of unit size.

Bilinear quadrilaterals and trilinear hexahedra with two Gauss points an axis (Hughes, The Finite Element Method, 3.9).
Corners are in C order of the axes of the grid; each has the components x, y(, z), y against the rows.
Legend of the arrays: D degrees of freedom of an element (8 or 24), S components of strain (3 or 6).
"""

from functools import cache
from itertools import product

import numpy as np

_GAUSS = 0.5 / np.sqrt(3)  # from the centre of an element of size 1


@cache
def list_corners(axes: int) -> tuple[tuple[int, ...], ...]:
    """Return the offsets of the nodes of an element on the axes of the grid."""
    return tuple(product((0, 1), repeat=axes))


def build_elasticity(axes: int, poisson_ratio: float) -> np.ndarray:
    """Return the stress of each unit strain, for an elastic modulus of 1: SS, plane stress with two axes.

    Components: xx, yy, xy; or xx, yy, zz, xy, yz, zx. Shear strains are engineering strains.
    """
    ratio = poisson_ratio
    if axes == 2:
        return np.array([[1, ratio, 0], [ratio, 1, 0], [0, 0, (1 - ratio) / 2]]) / (1 - ratio**2)
    elasticity_SS = np.zeros((6, 6))
    elasticity_SS[:3, :3] = ratio
    np.fill_diagonal(elasticity_SS, [1 - ratio] * 3 + [(1 - 2 * ratio) / 2] * 3)
    return elasticity_SS / ((1 + ratio) * (1 - 2 * ratio))


def build_strain_matrix(axes: int, point: tuple[float, ...]) -> np.ndarray:
    """Return the strain by the displacements of the corners (SD) at a point in x, y(, z), from the centre, size 1."""
    # Component k of a displacement points along axis axes-1-k of the grid; y points against the rows.
    corners = (np.array(list_corners(axes))[:, ::-1] - 0.5) * np.array([1, -1, 1])[:axes]
    shares = 0.5 + 2 * corners * np.array(point)  # each shape function is the product of these
    gradients = np.stack(
        [2 * corners[:, k] * np.delete(shares, k, axis=1).prod(1) for k in range(axes)]
    )  # [component, corner]
    strain_SD = np.zeros((3 if axes == 2 else 6, len(corners) * axes))
    for k in range(axes):
        strain_SD[k, k::axes] = gradients[k]
    for row, (j, k) in enumerate([(0, 1)] if axes == 2 else [(0, 1), (1, 2), (2, 0)], start=axes):
        strain_SD[row, j::axes] = gradients[k]
        strain_SD[row, k::axes] = gradients[j]
    return strain_SD


@cache
def build_element_stiffness(axes: int, poisson_ratio: float) -> np.ndarray:
    """Return the stiffness of an element of size, thickness and elastic modulus 1: DD, not to be written to."""
    elasticity_SS = build_elasticity(axes, poisson_ratio)
    stiffness_DD = np.zeros((axes * 2**axes,) * 2)
    for point in product((-_GAUSS, _GAUSS), repeat=axes):
        strain_SD = build_strain_matrix(axes, point)
        stiffness_DD += strain_SD.T @ elasticity_SS @ strain_SD / 2**axes
    stiffness_DD = (stiffness_DD + stiffness_DD.T) / 2
    stiffness_DD.setflags(write=False)
    return stiffness_DD


def gather_corners(displacement: np.ndarray) -> np.ndarray:
    """Return the displacements of the corners of each element: [cases, elements, D] of [cases, *nodes, axes]."""
    axes = displacement.shape[-1]
    windows = [displacement[(slice(None), *(slice(c, c - 1 or None) for c in corner))] for corner in list_corners(axes)]
    return np.stack(windows, -2).reshape(len(displacement), -1, axes * len(windows))


def scatter_corners(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the sums at the nodes of what elements give their corners; the transpose of `gather_corners`."""
    axes = len(shape)
    values = values.reshape(len(values), *shape, 2**axes, axes)
    sums = np.zeros((len(values), *(size + 1 for size in shape), axes))
    for index, corner in enumerate(list_corners(axes)):
        sums[(slice(None), *(slice(c, c - 1 or None) for c in corner))] += values[..., index, :]
    return sums


def list_element_freedoms(shape: tuple[int, ...]) -> np.ndarray:
    """Return the degrees of freedom of each element: int64 [elements, D], numbered in C order of [*nodes, axes]."""
    axes = len(shape)
    nodes = tuple(size + 1 for size in shape)
    numbers = np.arange(np.prod(nodes) * axes).reshape(1, *nodes, axes)
    return gather_corners(numbers)[0]
