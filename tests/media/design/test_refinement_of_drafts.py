import numpy as np
import pytest

from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.design_variables import OptimizationOptions
from genloom.media.design.mechanics.parts import find_parts
from genloom.media.design.mechanics.problem import Problem, build_empty_problem
from genloom.media.design.mechanics.refinement import SHARPNESS, build_schedule, refine


def build_beam() -> tuple[Problem, np.ndarray]:
    """Return a part that is held at the left and pulled down at the right, and a draft of two flanges and webs."""
    problem = build_empty_problem((16, 24), 0.55)
    problem.fixed[:, 0] = True
    problem.forces[0, 8, 24] = (0, -1)
    draft = np.zeros(problem.shape)
    draft[:4], draft[12:], draft[:, 10:13], draft[:, 21:] = 1, 1, 1, 1
    return problem, draft


def test_gaps_in_the_load_paths_are_closed() -> None:
    problem, draft = build_beam()
    whole = refine(problem, draft, 5)
    draft[:, 6] = 0  # neither flange joins the load to the support
    assert find_parts(problem, draft).unheld_loads == 1
    refined = refine(problem, draft, 5)
    assert find_parts(problem, refined.density).is_sound
    assert refined.compliance < 1.05 * whole.compliance
    assert refined.density.mean() == pytest.approx(problem.volume, abs=1e-6)
    assert refined.compliance < 1e-3 * analyze(problem, draft).compliance


def test_what_floats_at_the_end_is_removed() -> None:
    problem, draft = build_beam()
    draft[7:9, 5:7] = 1
    refined = refine(problem, draft, 0)
    assert [gain.action for gain in refined.gains] == ["start", "remove_floating", "meet_volume"]
    assert not find_parts(problem, refined.density).floating


def test_a_draft_that_stays_broken_keeps_its_material() -> None:
    problem, draft = build_beam()
    draft[:, 6] = 0
    refined = refine(problem, draft, 0)
    assert refined.density.mean() > 0.9 * draft.mean()


def test_the_projection_sharpens_from_step_to_step() -> None:
    schedule = build_schedule(5, OptimizationOptions())
    assert len(schedule) == 6
    assert schedule[0] == 0
    assert sorted(schedule) == schedule
    assert schedule[-2:] == [SHARPNESS] * 2
    assert build_schedule(12, OptimizationOptions()) == [*schedule[:5], *[SHARPNESS] * 8]
    assert build_schedule(0, OptimizationOptions()) == []
    assert set(build_schedule(4, OptimizationOptions(max_stress=1.0))) == {SHARPNESS}
    assert build_schedule(1, OptimizationOptions()) == [SHARPNESS] * 2
