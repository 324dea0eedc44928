import numpy as np
import pytest

from genloom.media.design.mechanics.fields import build_fields, count_channels, turn_fields
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem, build_empty_problem
from genloom.media.design.mechanics.turning import turn_problem


def build_cantilever(force: float = 2.0) -> Problem:
    """Return a part that is held at the left and pulled down at its lower right corner, with regions of both kinds."""
    problem = build_empty_problem((6, 8), 0.4)
    problem.fixed[:, 0] = True
    problem.forces[0, 6, 8] = (0, -force)
    problem.passive[0, 7], problem.passive[0, 3] = EMPTY, SOLID
    return problem


def test_every_array_is_what_it_says() -> None:
    fields = build_fields(build_cantilever())
    held_x, held_y, load_x, load_y, solid, empty, volume, density, next_density, energy = fields
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
    assert density[0, 7] == next_density[0, 7] == energy[0, 7] == 0, "what must be empty carries nothing"
    assert density[0, 3] == next_density[0, 3] == 2, "what must be solid is"
    assert energy[5, 7] > 0, "the element at the load carries more than the median"
    assert next_density.mean() == pytest.approx(0.8, abs=1e-3), "twice the volume"


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
    assert fields[-2, 1, 4] > build_fields(single)[-2, 1, 4], "the second case needs material beside its load"


@pytest.mark.parametrize("turn", range(8))
def test_fields_turn_with_the_problem(turn: int) -> None:
    problem = build_cantilever()
    problem.fixed[0, 4, 0] = True  # a roller
    turned = turn_fields(build_fields(problem), turn)
    np.testing.assert_allclose(build_fields(turn_problem(problem, turn)), turned, atol=1e-3)


def test_three_axes() -> None:
    problem = build_empty_problem((3, 4, 5), 0.3)
    problem.fixed[..., 0, :] = True
    problem.forces[0, 1, 4, 5] = (0, -1, 0)
    assert build_fields(problem).shape == (count_channels(3), 3, 4, 5)
