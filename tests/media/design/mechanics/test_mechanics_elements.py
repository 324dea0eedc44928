"""The element: the closed form of the plane one, rigid movements without strain, and uniform strain in a patch."""

import numpy as np
import pytest

from genloom.media.design.mechanics.elements import (
    build_elasticity,
    build_element_stiffness,
    build_strain_matrix,
    gather_corners,
    list_element_freedoms,
    scatter_corners,
)

AXES = pytest.mark.parametrize("axes", [2, 3])


def list_places(shape: tuple[int, ...]) -> np.ndarray:
    """Return x, y(, z) of the nodes: [*nodes, axes]."""
    grids = np.meshgrid(*[np.arange(size + 1.0) for size in shape], indexing="ij")
    return np.stack([sign * grid for sign, grid in zip((1, -1, 1), grids[::-1], strict=False)], -1)


def test_the_plane_stiffness_has_its_closed_form() -> None:
    """The diagonal and the coupling of the 99-line code (Sigmund 2001), whose elements are the same."""
    ratio = 0.3
    stiffness = build_element_stiffness(2, ratio)
    assert np.allclose(np.diag(stiffness), (1 / 2 - ratio / 6) / (1 - ratio**2))
    values = {1 / 2 - ratio / 6, 1 / 8 + ratio / 8, -1 / 4 - ratio / 12, -1 / 8 + 3 * ratio / 8}
    values |= {-1 / 4 + ratio / 12, -1 / 8 - ratio / 8, ratio / 6, 1 / 8 - 3 * ratio / 8}
    assert np.allclose(np.unique(stiffness.round(12)), sorted(value / (1 - ratio**2) for value in values))


@AXES
def test_rigid_movements_and_nothing_else_are_free(axes: int) -> None:
    values = np.linalg.eigvalsh(build_element_stiffness(axes, 0.3))
    num_rigid = 3 if axes == 2 else 6
    assert np.abs(values[:num_rigid]).max() < 1e-12
    assert values[num_rigid] > 1e-2


@AXES
def test_a_uniform_strain_is_exact_in_every_element(axes: int) -> None:
    shape = (2, 3, 4)[-axes:]
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=(axes, axes))
    displacement = list_places(shape) @ gradient.T
    strains = gather_corners(displacement[None])[0] @ build_strain_matrix(axes, tuple(rng.uniform(-0.5, 0.5, axes))).T
    shears = [(0, 1)] if axes == 2 else [(0, 1), (1, 2), (2, 0)]
    expected = [gradient[k, k] for k in range(axes)] + [gradient[j, k] + gradient[k, j] for j, k in shears]
    assert np.allclose(strains, expected)


@AXES
def test_the_elasticity_is_that_of_a_bar(axes: int) -> None:
    """Under a stress of 1 along x a bar strains by 1, and by minus the ratio across."""
    compliance = np.linalg.inv(build_elasticity(axes, 0.3))
    assert np.allclose(compliance[:axes, 0], [1, -0.3, -0.3][:axes])
    assert np.allclose(np.diag(compliance)[axes:], 2.6)


@AXES
def test_scatter_is_the_transpose_of_gather(axes: int) -> None:
    shape, rng = (3, 2, 4)[-axes:], np.random.default_rng(1)
    nodes = rng.normal(size=(2, *(size + 1 for size in shape), axes))
    corners = rng.normal(size=(2, int(np.prod(shape)), axes * 2**axes))
    assert np.isclose((gather_corners(nodes) * corners).sum(), (nodes * scatter_corners(corners, shape)).sum())
    assert np.array_equal(gather_corners(nodes)[0], nodes[0].ravel()[list_element_freedoms(shape)])
