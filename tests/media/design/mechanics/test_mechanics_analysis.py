"""Analysis: beams against Timoshenko's theory, bars against their formula, units, and one result of all solvers."""

from dataclasses import replace

import numpy as np
import pytest

from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.direct_solver import DirectSolver, Pattern, measure_band
from genloom.media.design.mechanics.interpolation import compute_moduli
from genloom.media.design.mechanics.multigrid import MultigridSolver
from genloom.media.design.mechanics.problem import Problem, build_empty_problem
from genloom.media.design.mechanics.solver import Solver, build_solver


def build_cantilever(shape: tuple[int, ...], force: float = 1.0, component: int = 1) -> Problem:
    """Return a beam that is held at its left end; a force acts downwards on its right end, as a stress would."""
    problem = build_empty_problem(shape, 1.0)
    problem.fixed[..., 0, :] = True
    shares = np.ones(problem.nodes[:-1])
    for axis in range(shares.ndim):
        shares[(slice(None),) * axis + ([0, -1],)] /= 2
    problem.forces[0, ..., -1, component] = -force * shares / shares.sum()
    return problem


def compute_deflection(length: float, height: float, width: float = 1.0, ratio: float = 0.3) -> float:
    """Return the deflection of a tip under a force of 1, modulus 1: bending and shear (Timoshenko)."""
    inertia, shear_modulus = width * height**3 / 12, 1 / (2 * (1 + ratio))
    return length**3 / (3 * inertia) + 1.2 * length / (shear_modulus * width * height)


@pytest.mark.parametrize(("shape", "error"), [((8, 80), 0.015), ((16, 160), 0.006), ((4, 6, 48), 0.03)])
def test_a_beam_bends_as_timoshenko_says(shape: tuple[int, ...], error: float) -> None:
    state = analyze(build_cantilever(shape), np.ones(shape))
    *across, length = shape
    expected = compute_deflection(length, across[-1], across[0] if len(across) == 2 else 1.0)
    assert state.compliance == pytest.approx(expected, rel=error)  # work of a force of 1: the deflection itself
    assert state.energy.sum() == pytest.approx(state.compliance / 2)


def test_the_deflection_converges_to_the_beam() -> None:
    errors = []
    for height in (4, 8, 16):
        shape = (height, 20 * height)
        deflection = analyze(build_cantilever(shape), np.ones(shape)).compliance
        errors.append(1 - deflection / compute_deflection(shape[1], shape[0]))
    assert errors[0] > errors[1] > errors[2] > 0
    assert errors[2] < 0.004


def test_the_stress_of_a_bent_beam_is_that_of_its_section() -> None:
    height, length = 16, 160
    state = analyze(build_cantilever((height, length)), np.ones((height, length)))
    column = length // 4  # away from the clamp
    moment, distance = length - column - 0.5, height / 2 - 0.5  # at the centre of the outermost element
    assert state.von_mises[0, 0, column] == pytest.approx(moment * distance / (height**3 / 12), rel=0.01)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_pulled_bar_has_its_stress_and_length_in_si_units(axes: int) -> None:
    """10 kN on a steel bar of 40 mm by 20 mm, or by its thickness of 5 mm; its ends may contract."""
    shape, size, modulus = (10, 8, 20)[-axes:], 0.005, 210e9
    problem = replace(build_cantilever(shape, -10e3, 0), elastic_modulus=modulus, element_size=size, thickness=0.005)
    problem.fixed[:] = False
    problem.fixed[..., 0, 0] = True
    problem.fixed[(0,) * axes] = True
    if axes == 3:
        problem.fixed[-1, 0, 0, 1] = True  # so that it does not turn about its axis
    area = 8 * size * (0.005 if axes == 2 else 10 * size)
    state = analyze(problem, np.ones(shape))
    assert np.allclose(state.von_mises, 10e3 / area)
    assert np.allclose(state.displacement[0, ..., -1, 0], 10e3 / area / modulus * 20 * size)
    assert state.max_von_mises == pytest.approx(10e3 / area)


def test_load_cases_are_solved_one_by_one() -> None:
    shape = (6, 12)
    both = build_empty_problem(shape, 0.5, cases=2)
    both.fixed[:, 0] = True
    both.forces[0, -1, -1, 1], both.forces[1, 0, -1, 0] = -1, 2
    density = np.random.default_rng(0).uniform(0.2, 1, shape)
    state = analyze(both, density)
    for case in range(2):
        alone = analyze(replace(both, forces=both.forces[case : case + 1]), density)
        assert alone.compliance == pytest.approx(state.compliance_by_case[case])
        assert np.allclose(alone.von_mises[0], state.von_mises[case])
    assert state.compliance == pytest.approx(sum(state.compliance_by_case))


@pytest.mark.parametrize("shape", [(12, 30), (30, 13), (6, 8, 12)])
def test_all_solvers_agree(shape: tuple[int, ...]) -> None:
    problem = build_cantilever(shape)
    forces = np.concatenate([problem.forces, problem.forces[..., ::-1]])
    moduli = compute_moduli(np.random.default_rng(0).uniform(0.05, 1, int(np.prod(shape))))
    solvers: list[Solver] = [
        DirectSolver(problem.fixed, 0.3, is_banded=True),
        DirectSolver(problem.fixed, 0.3, is_banded=False),
        MultigridSolver(problem.fixed, 0.3),
    ]
    results = []
    for solver in solvers:
        solver.factorize(moduli)
        results.append(solver.solve(forces))
    for other in results[1:]:
        assert np.abs(other - results[0]).max() < 1e-5 * np.abs(results[0]).max()
    assert not results[0][:, problem.fixed].any()


def test_a_solver_serves_several_designs() -> None:
    problem, rng = build_cantilever((8, 16)), np.random.default_rng(0)
    solver = build_solver(problem)
    for density in (np.ones((8, 16)), rng.uniform(0.1, 1, (8, 16))):
        assert analyze(problem, density, solver).compliance == pytest.approx(analyze(problem, density).compliance)


def test_empty_elements_carry_nothing() -> None:
    """A beam in a larger empty domain is the beam."""
    narrow, wide = build_cantilever((8, 40)), build_empty_problem((20, 40), 1.0)
    wide.fixed[6:15], wide.forces[:, 6:15] = narrow.fixed, narrow.forces
    density = np.zeros((20, 40))
    density[6:14] = 1
    state = analyze(wide, density)
    assert state.compliance == pytest.approx(analyze(narrow, np.ones((8, 40))).compliance, rel=1e-5)
    assert not state.von_mises[0][density == 0].any()


def test_grids_with_a_wide_band_are_solved_by_multigrid() -> None:
    for shape, method in (((64, 64), DirectSolver), ((8, 8, 30), DirectSolver), ((16, 20, 24), MultigridSolver)):
        assert isinstance(build_solver(build_cantilever(shape)), method)


@pytest.mark.parametrize("shape", [(8, 12), (12, 8), (4, 6, 5), (6, 4, 5)])
def test_the_band_is_known_before_the_matrix_is_built(shape: tuple[int, ...]) -> None:
    pattern = Pattern(shape, 0.3)
    assert measure_band(shape) == (pattern.size, pattern.band)


def test_members_alone_are_solved_like_the_whole_grid() -> None:
    """Of a large design that is mostly empty; also where a force acts on an empty place, or a part hangs loose."""
    problem, density = build_cantilever((40, 60)), np.zeros((40, 60))
    density[:6], density[34:], density[:, 54:], density[18:24, 20:30] = 1, 1, 1, 0.9  # the last one floats
    problem.forces[:, 7:34] = 0
    band, sparse = (DirectSolver(problem.fixed, 0.3, is_banded=is_banded) for is_banded in (True, False))
    whole, members = analyze(problem, density, sparse), analyze(problem, density, band)
    assert members.compliance == pytest.approx(whole.compliance, rel=1e-6)
    assert np.allclose(members.von_mises, whole.von_mises, atol=1e-5 * whole.max_von_mises)
    assert np.allclose(members.energy, whole.energy, atol=1e-5 * whole.energy.max())
    problem.forces[0, 20, 10, 1] = 1
    assert analyze(problem, density, band).compliance == pytest.approx(analyze(problem, density, sparse).compliance)
