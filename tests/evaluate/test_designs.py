import numpy as np
import pytest

from genloom.evaluate.design import measure_pairs
from genloom.evaluate.design.measures import choose_solid, measure_design, summarize_errors
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem, build_empty_problem
from genloom.media.design.problems import build_goals
from genloom.media.design.structure import Structure

BEAM = np.zeros((8, 12))
BEAM[2:6] = 1
CUT = BEAM.copy()
CUT[:, 6] = 0  # the beam in two pieces
ELSEWHERE = np.zeros((8, 12))
ELSEWHERE[0, :4] = 1e-3  # where the material of the cut goes


def build_cantilever() -> Problem:
    """Return a part that is held at the left and pulled down at the middle of the right side."""
    problem = build_empty_problem((8, 12), 0.5)
    problem.fixed[:, 0] = True
    problem.forces[0, 4, 12] = (0, -1)
    return problem


def test_the_densest_elements_are_solid_within_the_volume() -> None:
    problem = build_cantilever()
    problem.passive[0, 0], problem.passive[3, 3] = SOLID, EMPTY
    density = np.random.default_rng(0).random(problem.shape)
    solid = choose_solid(problem, density)
    assert set(np.unique(solid)) == {0, 1}
    assert solid.mean() == 0.5
    assert solid[0, 0] == 1
    assert solid[3, 3] == 0
    free = problem.passive == 0
    assert density[free & (solid == 1)].min() > density[free & (solid == 0)].max()


def test_a_beam_holds_and_a_cut_one_does_not() -> None:
    problem = build_cantilever()
    beam, cut = measure_design(problem, BEAM), measure_design(problem, CUT + ELSEWHERE)
    assert (beam.floating, beam.unheld_loads, beam.volume_error) == (0, 0, 0)
    assert cut.unheld_loads == 1
    assert cut.compliance > 100 * beam.compliance
    assert cut.volume_error == pytest.approx(4 / 48, abs=1e-3)


def test_grey_does_not_count_as_stiff() -> None:
    problem = build_cantilever()
    grey = measure_design(problem, 0.5 + 0.01 * BEAM)
    assert grey.compliance == measure_design(problem, BEAM).compliance


def test_errors_are_summarized_without_outliers_in_the_mean() -> None:
    errors = summarize_errors([1.1, 2.0, 1e6], [1.0, 1.0, 1.0])
    assert errors.mean == pytest.approx(0.55)
    assert errors.median == pytest.approx(1.0)
    assert (errors.outliers, errors.count) == (1, 3)
    assert "1 above 1,000 %" in str(errors)


def test_designs_are_compared_with_those_of_their_goals() -> None:
    held_out = Structure.from_density(BEAM, build_goals(build_cantilever()))
    beam, cut = Structure.from_density(BEAM), Structure.from_density(CUT + 10 * ELSEWHERE)
    values, lines = measure_pairs([(beam, held_out), (cut, held_out)])
    assert values["with unheld loads"] == 0.5
    assert values["volume error"] > 0
    assert any("compliance error" in line for line in lines)
    values, _ = measure_pairs([(beam, held_out)])
    assert values["mean compliance error"] == values["median compliance error"] == 0
