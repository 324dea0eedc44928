import numpy as np
import pytest

from genloom.media.design.mechanics.fields import build_fields, count_channels
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem, build_empty_problem
from genloom.media.design.mechanics.turning import build_turn_matrix, turn_array, turn_problem


def build_cantilever(force: float = 2.0) -> Problem:
    """Return a part that is held at the left and pulled down at its lower right corner, with regions of both kinds."""
    problem = build_empty_problem((6, 8), 0.4)
    problem.fixed[:, 0] = True
    problem.forces[0, 6, 8] = (0, -force)
    problem.passive[0, 7], problem.passive[0, 3] = EMPTY, SOLID
    return problem


def test_every_array_is_what_it_says() -> None:
    fields = build_fields(build_cantilever())
    held_x, held_y, load_x, load_y, solid, empty, volume, energy, stress = fields
    assert fields.shape == (count_channels(2), 6, 8)
    assert fields.dtype == np.float32
    assert held_x[:, 0].all()
    assert not held_x[:, 1:].any()
    assert (held_x == held_y).all()
    assert not load_x.any()
    assert np.argwhere(load_y).tolist() == [[5, 7]]
    assert load_y[5, 7] == -1
    assert np.argwhere(solid).tolist() == [[0, 3]]
    assert np.argwhere(empty).tolist() == [[0, 7]]
    assert (volume == np.float32(0.8)).all()
    assert energy[0, 7] == stress[0, 7] == 0, "what must be empty carries nothing"
    assert energy[5, 7] > energy[0, 6], "the element under the load carries more than the one above it"
    assert stress[:, 0].max() > stress[:, 4].max(), "the stress is greatest where the part is held"


def test_the_size_of_forces_and_units_does_not_count() -> None:
    one, other = build_fields(build_cantilever()), build_fields(build_cantilever(5e6))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_fields_of_several_cases_are_those_of_all() -> None:
    single = build_cantilever()
    forces = np.stack([single.forces[0], np.zeros_like(single.forces[0])])
    forces[1, 0, 4] = (1, 0)
    fields = build_fields(Problem(single.fixed, forces, single.passive, single.volume))
    assert fields[2].any()
    assert fields[3].any()
    assert fields[-2, 1, 4] > build_fields(single)[-2, 1, 4], "energy of the second case is beside its load"


@pytest.mark.parametrize("turn", range(8))
def test_physical_fields_turn_with_the_problem(turn: int) -> None:
    problem = build_cantilever()
    fields, turned = build_fields(problem), build_fields(turn_problem(problem, turn))
    np.testing.assert_allclose(turned[4:], turn_array(fields[4:], turn), atol=1e-4)
    loads = np.einsum("ij,jyx->iyx", build_turn_matrix(turn), turn_array(fields[2:4], turn))
    np.testing.assert_allclose(turned[2:4], loads, atol=1e-6)


def test_three_axes() -> None:
    problem = build_empty_problem((3, 4, 5), 0.3)
    problem.fixed[..., 0, :] = True
    problem.forces[0, 1, 4, 5] = (0, -1, 0)
    assert build_fields(problem).shape == (count_channels(3), 3, 4, 5)
