import numpy as np
import pytest
from scipy.linalg import LinAlgError

from genloom.media.design.mechanics import drafts
from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.drafts import draft_quickly, optimize_coarsely
from genloom.media.design.mechanics.problem import SOLID, Problem, build_empty_problem


def build_beam(shape: tuple[int, ...]) -> Problem:
    """Return a beam that is held at the left and pulled down in the middle of the right side."""
    problem = build_empty_problem(shape, 0.4)
    problem.fixed[..., 0, :] = True
    problem.forces[0, ..., shape[-2] // 2, shape[-1], 1] = -1
    problem.passive[..., 0, -1] = SOLID
    return problem


@pytest.mark.parametrize("shape", [(12, 20), (5, 9), (4, 4, 6)])
def test_a_draft_and_its_next_step_are_stiffer_than_a_uniform_density(shape: tuple[int, ...]) -> None:
    problem = build_beam(shape)
    draft = draft_quickly(problem)
    uniform = analyze(problem, np.full(shape, problem.volume)).compliance
    assert max(analyze(problem, each).compliance for each in (draft.next_density, draft.density)) < uniform
    assert draft.next_density.mean() == pytest.approx(0.4, abs=1e-3)
    assert (draft.density[problem.passive == SOLID] == 1).all()


def test_its_energy_is_that_of_the_finite_elements() -> None:
    problem = build_beam((8, 12))
    draft = draft_quickly(problem)
    assert draft.energy.shape == problem.shape
    assert draft.energy.min() >= 0
    assert draft.energy[4, 0] > draft.energy[4, 6], "a beam carries most where it is held"


def test_a_part_that_half_the_grid_cannot_hold_begins_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LinAlgError("not positive definite")

    monkeypatch.setattr(drafts.Stepper, "evaluate_variables", fail)
    problem = build_beam((8, 12))
    problem.passive[:] = 0
    np.testing.assert_allclose(optimize_coarsely(problem), 0.4)
