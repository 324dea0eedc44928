"""Checks of problems: each fault has its code, movements are named, and what passes can be solved."""

from dataclasses import replace

import numpy as np
import pytest

from genloom.errors import GenloomError
from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.checks import check_problem, find_free_movement
from genloom.media.design.mechanics.packing import pack_problem, unpack_problem
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem, build_empty_problem


def build_plate(volume: float = 0.5) -> Problem:
    problem = build_empty_problem((8, 12), volume)
    problem.fixed[:, 0] = True
    problem.forces[0, -1, -1, 1] = -1
    return problem


def find_fault(problem: Problem) -> str:
    with pytest.raises(GenloomError) as caught:
        check_problem(problem)
    return caught.value.code.removeprefix("mechanics.")


def test_a_sound_problem_passes() -> None:
    check_problem(build_plate())


def test_supports_are_needed_and_must_prevent_every_movement() -> None:
    problem = build_plate()
    problem.fixed[:] = False
    assert find_fault(problem) == "no_support"
    problem.fixed[:, 0, 0] = True  # a wall that it can slide along
    with pytest.raises(GenloomError) as caught:
        check_problem(problem)
    assert (caught.value.code, caught.value.fields["movement"]) == ("mechanics.mechanism", "slide along y")
    problem.fixed[:] = False
    problem.fixed[-1, 0] = True  # one hinge
    with pytest.raises(GenloomError) as caught:
        check_problem(problem)
    assert caught.value.fields["movement"] == "turn"
    problem.fixed[-1, -1, 0] = True  # the roller is free in the direction of the turn
    assert find_fault(problem) == "mechanism"
    problem.fixed[-1, -1, 1] = True
    problem.forces[0, 0, 5, 1] = -1
    check_problem(problem)


def test_three_supports_whose_lines_meet_in_a_point_do_not_hold() -> None:
    """Three components are held, and none of them keeps it from turning about their common point."""
    problem = build_plate()
    problem.fixed[:] = False
    problem.fixed[0, 0, 1] = problem.fixed[4, 0, 1] = problem.fixed[-1, 0, 0] = True
    assert find_fault(problem) == "mechanism"
    problem.fixed[4, 0, 1], problem.fixed[-1, -1, 1] = False, True
    problem.forces[0, 0, 5, 1] = -1
    check_problem(problem)


@pytest.mark.parametrize("axes", [2, 3])
def test_what_passes_is_solved_and_what_is_a_mechanism_gives_way(axes: int) -> None:
    """The rank of the rigid movements agrees with the equations themselves, for random supports."""
    rng, shape = np.random.default_rng(axes), (4,) * axes
    verdicts = set()
    for _ in range(60):
        problem = build_empty_problem(shape, 0.5)
        for _ in range(int(rng.integers(2, 7 if axes == 2 else 9))):
            problem.fixed[(*rng.integers(0, 5, axes).tolist(), int(rng.integers(axes)))] = True
        problem.forces[0, (2,) * axes] = rng.normal(size=axes)
        problem.forces[0][problem.fixed] = 0
        free = ~problem.fixed.ravel()
        is_held = not find_free_movement(problem, problem.passive != EMPTY)
        stiffness = build_matrix(problem)[np.ix_(free, free)]
        assert is_held == (np.linalg.eigvalsh(stiffness)[0] > 1e-8)
        verdicts.add(is_held)
    assert verdicts == {True, False}


def build_matrix(problem: Problem) -> np.ndarray:
    from genloom.media.design.mechanics.elements import build_element_stiffness, list_element_freedoms

    size = problem.fixed.size
    matrix = np.zeros((size, size))
    for freedoms in list_element_freedoms(problem.shape):
        matrix[np.ix_(freedoms, freedoms)] += build_element_stiffness(problem.axes, 0.3)
    return matrix


def test_pieces_that_only_meet_at_nodes_are_hinged() -> None:
    """Two plates that touch in one node: the loaded one turns about it, until it is held elsewhere."""
    problem = build_plate()
    problem.passive[:4, 6:], problem.passive[4:, :6] = EMPTY, EMPTY
    with pytest.raises(GenloomError) as caught:
        check_problem(problem)
    assert caught.value.fields["movement"] == "turn"
    problem.fixed[-1, 6, 0] = True  # away from the hinge at (4, 6), so that it cannot turn
    check_problem(problem)


def test_a_cut_domain_is_found() -> None:
    problem = build_plate()
    problem.passive[:, 6] = EMPTY
    assert find_fault(problem) == "mechanism"
    problem.passive[3:5, 6] = 0
    check_problem(problem)


def test_forces_must_act_on_something_that_moves() -> None:
    problem = build_plate()
    problem.forces[:] = 0
    assert find_fault(problem) == "no_load"
    problem.forces[0, 3, 0, 1] = 1
    assert find_fault(problem) == "load_on_support"
    problem = build_plate()
    problem.passive[4:, 8:] = EMPTY
    assert find_fault(problem) == "load_on_nothing"
    problem = build_plate()
    problem.forces[0, 0, 3, 0] = np.nan
    assert find_fault(problem) == "endless_load"
    two = replace(build_plate(), forces=np.concatenate([build_plate().forces, 0 * build_plate().forces]))
    assert find_fault(two) == "no_load"


def test_the_place_of_a_force_on_nothing_is_named_from_the_lower_left() -> None:
    problem = build_plate()
    problem.passive[4:, 8:] = EMPTY
    with pytest.raises(GenloomError) as caught:
        check_problem(problem)
    assert caught.value.fields["place"] == "x = 12, y = 0"


def test_supports_in_empty_regions_do_not_count() -> None:
    problem = build_plate()
    problem.passive[:, :2] = EMPTY
    assert find_fault(problem) == "support_on_nothing"


def test_volumes_must_be_possible() -> None:
    assert find_fault(build_plate(0.0)) == "volume_range"
    assert find_fault(build_plate(1.5)) == "volume_range"
    problem = build_plate(0.2)
    problem.passive[:3] = SOLID
    assert find_fault(problem) == "volume_too_small"
    problem = build_plate(0.9)
    problem.passive[:3] = EMPTY
    assert find_fault(problem) == "volume_too_large"
    problem.passive[:] = EMPTY
    assert find_fault(problem) == "all_empty"


def test_grids_have_limits() -> None:
    assert find_fault(build_empty_problem((2, 40), 0.5)) == "too_small"
    assert find_fault(build_empty_problem((600, 600), 0.5)) == "too_large"
    assert find_fault(build_empty_problem((48, 48, 48), 0.5)) == "too_large"


def test_a_chequered_domain_is_refused() -> None:
    big = build_empty_problem((24, 24), 0.3)
    big.fixed[:, 0], big.forces[0, -1, -1, 1] = True, 1
    big.passive[np.indices((24, 24)).sum(0) % 2 == 1] = EMPTY
    assert find_fault(big) == "too_many_pieces"


def test_a_problem_comes_back_from_its_bytes() -> None:
    problem = replace(build_plate(0.35), elastic_modulus=70e9, poisson_ratio=0.33, element_size=1e-3, thickness=2e-3)
    problem.passive[2, 3], problem.passive[5, 6] = SOLID, EMPTY
    copy = unpack_problem(pack_problem(problem))
    for name in (
        "fixed",
        "forces",
        "passive",
        "volume",
        "elastic_modulus",
        "poisson_ratio",
        "element_size",
        "thickness",
    ):
        assert np.array_equal(getattr(copy, name), getattr(problem, name)), name
    assert analyze(copy, np.ones((8, 12))).compliance == analyze(problem, np.ones((8, 12))).compliance


def test_damaged_bytes_are_refused() -> None:
    import zlib

    data = pack_problem(build_plate())
    head, _, body = zlib.decompress(data).partition(b"\n")
    huge = zlib.compress(head.replace(b"[8, 12]", b"[80000, 120000]") + b"\n" + body)
    for damaged in (b"", data[:-9], zlib.compress(b"[]\n"), zlib.compress(head + b"\n" + body + b"x"), huge):
        with pytest.raises(GenloomError) as caught:
            unpack_problem(damaged)
        assert caught.value.code == "mechanics.damaged_problem"
