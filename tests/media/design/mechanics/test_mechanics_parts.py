"""Parts of a design, thin members, exact volumes, and the finish of a design that was generated."""

from dataclasses import replace

import numpy as np
import pytest

from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.design_variables import OptimizationOptions
from genloom.media.design.mechanics.optimization import optimize
from genloom.media.design.mechanics.parts import (
    count_holes,
    find_parts,
    find_thin_parts,
    fit_volume,
    remove_floating_parts,
)
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem, build_empty_problem
from genloom.media.design.mechanics.refinement import refine


def build_frame() -> tuple[Problem, np.ndarray]:
    """Return a problem and a design of two bars and a web, 4 elements thick."""
    problem = build_empty_problem((20, 30), 0.5)
    problem.fixed[:, 0] = True
    problem.forces[0, 0, -1, 1] = -1
    density = np.zeros((20, 30))
    density[:4], density[16:], density[:, 26:] = 1, 1, 1
    return problem, density


def test_a_frame_is_one_part_without_holes_that_are_open() -> None:
    problem, density = build_frame()
    parts = find_parts(problem, density)
    assert (parts.carrying, parts.floating, parts.unheld_loads, parts.is_sound) == ((1,), (), 0, True)
    assert count_holes(density) == 0
    density[4:16, 10:12] = 1
    assert count_holes(density) == 1


def test_floating_parts_are_removed_with_their_rims() -> None:
    problem, density = build_frame()
    floating = density.copy()
    floating[8:11, 8:12], floating[7, 8:12] = 1, 0.3
    parts = find_parts(problem, floating)
    assert len(parts.floating) == 1
    assert not parts.is_sound
    assert np.array_equal(remove_floating_parts(problem, floating), density)


def test_a_part_that_must_be_solid_is_idle_and_stays() -> None:
    problem, density = build_frame()
    problem.passive[8:11, 8:12] = SOLID
    density[8:11, 8:12] = 1
    parts = find_parts(problem, density)
    assert (len(parts.idle), parts.floating, parts.is_sound) == (1, (), False)
    assert remove_floating_parts(problem, density)[9, 9] == 1


def test_a_force_that_reaches_no_support_is_counted() -> None:
    problem, density = build_frame()
    cut = density.copy()
    cut[:, 14:16] = 0
    assert find_parts(problem, cut).unheld_loads == 1
    density[0, -1] = 0
    density[:2, 28:] = 0
    assert find_parts(problem, density).unheld_loads == 1


def test_a_force_into_a_support_needs_no_material() -> None:
    problem, density = build_frame()
    problem.forces[0, 10, 0, 0] = 1
    assert find_parts(problem, density).unheld_loads == 0


def test_thin_members_are_found_where_no_disc_fits() -> None:
    problem, density = build_frame()
    density[4:16, 10:12] = 1  # a web of 2
    thin = find_thin_parts(problem, density, 4)
    assert thin[6:14, 10:12].all()
    assert not thin[:4].any()
    assert not thin[:, 26:].any()
    assert not find_thin_parts(problem, density, 2).any()
    problem.passive[4:16, 10:12] = SOLID
    assert not find_thin_parts(problem, density, 4).any()


@pytest.mark.parametrize("volume", [0.2, 0.35, 0.6])
def test_the_volume_is_met_exactly(volume: float) -> None:
    problem = build_empty_problem((20, 30), volume)
    problem.passive[:2, :5], problem.passive[10:, 20:] = SOLID, EMPTY
    density = np.random.default_rng(0).beta(0.4, 0.6, (20, 30))
    fitted = fit_volume(problem, density)
    assert fitted.mean() == pytest.approx(volume, abs=1e-9)
    assert (fitted[problem.passive == SOLID] == 1).all()
    assert not fitted[problem.passive == EMPTY].any()
    order = np.argsort(density[5:9].ravel())
    assert (np.diff(fitted[5:9].ravel()[order]) >= 0).all()


@pytest.fixture(scope="module")
def best() -> tuple[Problem, np.ndarray, float]:
    problem = build_empty_problem((24, 36), 0.4)
    problem.fixed[:, 0] = True
    problem.forces[0, -1, -1, 1] = -1
    *_, last = optimize(problem)
    return problem, last.density, last.compliance


def test_a_rough_design_comes_near_the_best_in_a_few_steps(best: tuple[Problem, np.ndarray, float]) -> None:
    problem, density, compliance = best
    rng = np.random.default_rng(0)
    rough = np.clip(density + rng.normal(0, 0.3, density.shape), 0, 1)
    rough[2:4, 30:33] = 1  # floats
    result = refine(problem, rough, 5)
    assert result.compliance < 1.01 * compliance
    assert analyze(problem, rough).compliance > 1.1 * compliance
    assert result.density.mean() == pytest.approx(problem.volume, abs=1e-9)
    assert find_parts(problem, result.density).is_sound
    assert result.gains[0].action == "start"
    assert result.gains[0].compliance == pytest.approx(analyze(problem, rough).compliance)
    assert [gain.action for gain in result.gains].count("step") == 5
    assert result.gains[-1].action == "meet_volume"
    assert result.compliance == pytest.approx(analyze(problem, result.density).compliance)


def test_no_step_only_cleans_and_meets_the_volume(best: tuple[Problem, np.ndarray, float]) -> None:
    problem, density, _ = best
    result = refine(replace(problem, volume=0.45), density, 0)
    assert [gain.action for gain in result.gains] == ["start", "meet_volume"]
    assert result.density.mean() == pytest.approx(0.45, abs=1e-9)
    assert find_parts(problem, result.density).is_sound


def test_refinement_keeps_the_least_thickness(best: tuple[Problem, np.ndarray, float]) -> None:
    problem = replace(best[0], volume=0.25)
    *_, last = optimize(problem)
    result = refine(problem, last.density, 12, OptimizationOptions(min_thickness=4))
    thin_before = find_thin_parts(problem, last.density, 4).sum()
    assert thin_before > 10
    assert find_thin_parts(problem, result.density, 4).sum() < 0.3 * thin_before
