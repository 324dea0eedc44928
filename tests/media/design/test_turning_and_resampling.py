import numpy as np
import pytest

from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem, build_empty_problem
from genloom.media.design.mechanics.resampling import choose_shape, resample_density, resample_problem
from genloom.media.design.mechanics.turning import NUM_TURNS, build_turn_matrix, turn_array, turn_problem


def build_problem() -> Problem:
    """Return a part that is held at the left, loaded at a node and at a corner, with a solid and an empty region."""
    problem = build_empty_problem((4, 6), 0.4, cases=2)
    problem.fixed[:, 0] = True
    problem.fixed[0, 3, 1] = True
    problem.forces[0, 4, 6] = (3.0, -2.0)
    problem.forces[1, 2, 3] = (0.0, 1.0)
    problem.passive[0, 5], problem.passive[3, 0] = SOLID, EMPTY
    return problem


def list_forces(problem: Problem) -> dict[tuple[float, float], list[float]]:
    """Return the forces of all cases by the place of their nodes, x to the right and y up from the middle."""
    _, rows, columns = np.nonzero(problem.forces.any(-1))
    ny, nx = problem.shape
    vectors = problem.forces[problem.forces.any(-1)]
    return {(c - nx / 2, ny / 2 - r): v.tolist() for r, c, v in zip(rows, columns, vectors, strict=True)}


@pytest.mark.parametrize("turn", range(NUM_TURNS))
def test_forces_turn_with_their_places(turn: int) -> None:
    problem = build_problem()
    matrix = build_turn_matrix(turn)
    expected = {tuple(matrix @ place): (matrix @ vector).tolist() for place, vector in list_forces(problem).items()}
    assert list_forces(turn_problem(problem, turn)) == expected


@pytest.mark.parametrize("turn", range(NUM_TURNS))
def test_supports_and_regions_turn(turn: int) -> None:
    problem = build_problem()
    turned = turn_problem(problem, turn)
    assert turned.shape == (turn_array(problem.passive, turn)).shape
    assert turned.fixed.sum() == problem.fixed.sum()
    held_once = turned.fixed.sum(-1) == 1
    component = 0 if turn % 2 else 1  # y is held at one node; a quarter turn makes x of it
    assert turned.fixed[held_once].tolist() == [[component == 0, component == 1]]
    np.testing.assert_array_equal(held_once, turn_array(problem.fixed.sum(-1) == 1, turn))


def test_turns_are_eight_different_ones() -> None:
    picture = np.arange(12.0).reshape(3, 4)
    assert len({(turn_array(picture, turn).shape, turn_array(picture, turn).tobytes()) for turn in range(8)}) == 8


@pytest.mark.parametrize("shape", [(2, 3), (8, 12), (3, 5), (4, 6)])
def test_resampling_keeps_volume_forces_and_supports(shape: tuple[int, int]) -> None:
    problem = build_problem()
    density = np.random.default_rng(0).random(problem.shape)
    assert resample_density(density, shape).mean() == pytest.approx(density.mean())
    other = resample_problem(problem, shape)
    assert other.shape == shape
    np.testing.assert_allclose(other.forces.sum((1, 2)), problem.forces.sum((1, 2)))
    assert other.forces[0, -1, -1].tolist() == [3.0, -2.0], "a corner stays a corner"
    assert other.fixed[[0, -1], 0].all()


def test_refined_regions_cover_the_same_part() -> None:
    other = resample_problem(build_problem(), (8, 12))
    np.testing.assert_array_equal(other.passive, np.kron(build_problem().passive, np.ones((2, 2), np.int8)))


def test_a_shape_keeps_its_proportions() -> None:
    assert choose_shape((64, 64), 1024, 8) == (32, 32)
    assert choose_shape((64, 128), 1024, 8) == (24, 48)
    assert choose_shape((5, 500), 1024, 8) == (8, 320)
