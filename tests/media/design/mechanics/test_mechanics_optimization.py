"""Optimization: the published compliance of the MBB beam, exact gradients, and the limits that a design keeps."""

from dataclasses import replace

import numpy as np
import pytest

from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.design_variables import DesignVariables, OptimizationOptions, Stage
from genloom.media.design.mechanics.optimization import PLAIN, Step, differentiate_compliance, optimize
from genloom.media.design.mechanics.parts import find_parts, find_thin_parts
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem, build_empty_problem
from genloom.media.design.mechanics.solver import build_solver
from genloom.media.design.mechanics.stress import measure_stress


def build_mbb(shape: tuple[int, int], volume: float = 0.5) -> Problem:
    """Return the half of the beam of Messerschmitt-Bölkow-Blohm."""
    problem = build_empty_problem(shape, volume)
    problem.fixed[:, 0, 0] = True
    problem.fixed[-1, -1, 1] = True
    problem.forces[0, 0, 0, 1] = -1
    return problem


def build_bracket(shape: tuple[int, int] = (24, 36), volume: float = 0.4) -> Problem:
    problem = build_empty_problem(shape, volume)
    problem.fixed[:, 0] = True
    problem.forces[0, shape[0] // 2, -1, 1] = -1
    return problem


def run_to_end(problem: Problem, options: OptimizationOptions, start: np.ndarray | None = None) -> Step:
    *_, last = optimize(problem, options, start=start)
    return last


@pytest.mark.slow
def test_the_mbb_beam_has_its_published_compliance() -> None:
    """60 × 20, volume 0.5, density filter of radius 2.4: 233.71 (Andreassen et al. 2011, table of section 5)."""
    options = replace(PLAIN, filter_radius=2.4, stages=(Stage(0, 2000, 0.01),))
    last = run_to_end(build_mbb((20, 60)), options)
    assert last.compliance == pytest.approx(233.71, abs=0.01)
    assert last.volume == pytest.approx(0.5, abs=1e-5)


def test_the_first_steps_of_the_mbb_beam_fall() -> None:
    steps = list(optimize(build_mbb((10, 30)), replace(PLAIN, stages=(Stage(0, 12, 0.0),))))
    assert [step.number for step in steps] == list(range(13))
    compliances = [step.compliance for step in steps]
    assert compliances == sorted(compliances, reverse=True)
    assert all(step.volume == pytest.approx(0.5, abs=1e-5) for step in steps)
    assert steps[-1].compliance == pytest.approx(analyze(build_mbb((10, 30)), steps[-1].density).compliance)


@pytest.mark.parametrize(("threshold", "is_printed"), [(0.5, False), (0.75, False), (0.5, True)])
def test_the_gradient_of_the_compliance_is_exact(threshold: float, is_printed: bool) -> None:
    problem = build_bracket((6, 8))
    problem.passive[0, :3], problem.passive[4, 5] = SOLID, EMPTY
    options = OptimizationOptions(filter_radius=2.2, is_self_supporting=is_printed)
    design, rng = DesignVariables(problem, options), np.random.default_rng(0)
    variables, solver = design.set_passive(rng.uniform(0.3, 0.9, 48)), build_solver(problem)

    def measure(values: np.ndarray) -> float:
        density = design.build_density(values, 3.0, threshold)
        return differentiate_compliance(problem, solver, density, 3.0)[0]

    density = design.build_density(variables, 3.0, threshold)
    slope = differentiate_compliance(problem, solver, density, 3.0)[1]
    gradient = design.pull_back(slope, variables, 3.0, threshold)
    direction = rng.normal(size=48) * design.is_free
    step = 1e-6 * direction
    measured = (measure(variables + step) - measure(variables - step)) / 2e-6
    assert measured == pytest.approx(float(gradient @ direction), rel=1e-6)


def test_the_gradient_of_the_stress_is_exact() -> None:
    """The gradient is that of the p-norm, scaled to the maximum: their ratio is constant to first order here."""
    problem, rng = build_bracket((6, 8)), np.random.default_rng(0)
    problem = replace(problem, elastic_modulus=7.0, element_size=0.5, thickness=0.2)
    solver, density = build_solver(problem), rng.uniform(0.3, 1, 48)

    def measure_norm(values: np.ndarray) -> float:
        stresses = analyze(problem, values.reshape(6, 8), solver).von_mises
        return float((stresses**8.0).sum() ** (1 / 8))

    norm = measure_norm(density)
    greatest, gradient = measure_stress(problem, solver, density, 3.0)
    direction = rng.normal(size=48)
    measured = (measure_norm(density + 1e-6 * direction) - measure_norm(density - 1e-6 * direction)) / 2e-6
    assert greatest == pytest.approx(analyze(problem, density.reshape(6, 8), solver).max_von_mises)
    assert measured * greatest / norm == pytest.approx(float(gradient @ direction), rel=1e-5)


def test_a_design_is_black_and_white_and_meets_its_volume() -> None:
    last = run_to_end(build_bracket(), OptimizationOptions())
    assert last.volume == pytest.approx(0.4, abs=1e-5)
    assert (4 * last.density * (1 - last.density)).mean() < 0.03
    assert find_parts(build_bracket(), last.density).is_sound


def test_passive_regions_stay_as_they_must_be() -> None:
    problem = build_bracket()
    problem.passive[:2, :], problem.passive[10:16, 8:16] = SOLID, EMPTY
    last = run_to_end(problem, OptimizationOptions())
    assert (last.density[problem.passive == SOLID] == 1).all()
    assert not last.density[problem.passive == EMPTY].any()
    assert last.volume == pytest.approx(problem.volume, abs=1e-5)


def test_symmetry_holds_where_the_problem_has_none() -> None:
    problem = build_bracket()
    problem.forces[0] = np.roll(problem.forces[0], 5, 0)
    mirrored = run_to_end(problem, OptimizationOptions(symmetry=("y",)))
    assert np.allclose(mirrored.density, mirrored.density[::-1])
    free = run_to_end(problem, OptimizationOptions())
    assert free.compliance < mirrored.compliance
    assert not np.allclose(free.density, free.density[::-1], atol=0.1)


def test_several_load_cases_need_a_part_that_holds_each() -> None:
    """Two forces at a time cancel; one at a time, each of them has to be carried."""
    problem = build_empty_problem((20, 20), 0.3, cases=2)
    problem.fixed[-1] = True
    problem.forces[0, 0, 10, 0], problem.forces[1, 0, 10, 1] = 1, -1
    last = run_to_end(problem, OptimizationOptions())
    by_case = analyze(problem, last.density).compliance_by_case
    for case in range(2):
        single = replace(problem, forces=problem.forces[case : case + 1])
        assert run_to_end(single, OptimizationOptions()).compliance <= by_case[case] * 1.001
    assert sum(by_case) == pytest.approx(last.compliance)


def test_members_have_their_least_thickness() -> None:
    problem = build_bracket((30, 45), 0.35)
    free = run_to_end(problem, OptimizationOptions())
    thick = run_to_end(problem, OptimizationOptions(min_thickness=5))
    assert find_thin_parts(problem, free.density, 5).sum() > 0.1 * (free.density >= 0.5).sum()
    assert find_thin_parts(problem, thick.density, 4).sum() <= 0.02 * (thick.density >= 0.5).sum()
    assert thick.volume == pytest.approx(0.35, abs=1e-5)
    assert free.compliance < thick.compliance < 1.6 * free.compliance


def test_a_printable_design_has_no_overhang() -> None:
    """Every solid element lies on a solid one of the row below, or beside one of it; others do not."""

    def count_overhangs(density: np.ndarray) -> int:
        is_solid = np.pad(density >= 0.5, ((0, 0), (1, 1)))
        is_supported = is_solid[1:, :-2] | is_solid[1:, 1:-1] | is_solid[1:, 2:]
        return int((is_solid[:-1, 1:-1] & ~is_supported).sum())

    problem = build_bracket()
    free = run_to_end(problem, OptimizationOptions())
    printable = run_to_end(problem, OptimizationOptions(is_self_supporting=True))
    assert count_overhangs(free.density) > 10
    assert count_overhangs(printable.density) <= 1
    assert printable.volume == pytest.approx(0.4, abs=1e-4)
    assert free.compliance < printable.compliance < 2 * free.compliance


def test_a_limit_of_stress_is_kept_at_some_cost_of_stiffness() -> None:
    """An L: its inner corner concentrates the stress, which the limit makes the design round."""
    problem = build_empty_problem((24, 24), 0.4)
    problem.passive[:14, 10:] = EMPTY
    problem.fixed[0, :11] = True
    problem.forces[0, 14, -3:, 1] = -1 / 3
    stages = (Stage(0, 40, 0.0), Stage(4, 30, 0.0))
    free = run_to_end(problem, OptimizationOptions(stages=stages))
    stress = analyze(problem, free.density).max_von_mises
    held = run_to_end(problem, OptimizationOptions(stages=stages, max_stress=0.85 * stress))
    assert analyze(problem, held.density).max_von_mises <= 0.87 * stress
    assert held.volume <= problem.volume * 1.01


def test_a_start_is_where_an_optimization_begins() -> None:
    problem = build_bracket((12, 18))
    start = run_to_end(problem, OptimizationOptions()).density
    first = next(iter(optimize(problem, OptimizationOptions(stages=(Stage(8, 5),)), start=start)))
    assert first.number == 0
    assert np.abs(first.density - start).mean() < 0.05
