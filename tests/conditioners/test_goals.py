from pathlib import Path

import numpy as np
import pytest

from genloom.conditioners.goals import Config, GoalsConditioner, build, fit
from genloom.errors import GenloomError
from genloom.media.design.mechanics.problem import build_empty_problem
from genloom.media.design.mechanics.turning import turn_problem
from genloom.media.design.problems import build_goals
from genloom.media.design.structure import Structure, build_empty, write_structure
from genloom.testing import check_conditioner
from genloom.types import Item


def build_item(row: int, shape: tuple[int, int] = (8, 12)) -> Item:
    """Return a design that is held at the left and pulled down at a node of the right side."""
    problem = build_empty_problem(shape, 0.4)
    problem.fixed[:, 0] = True
    problem.forces[0, row, -1] = (0, -1)
    return Item(Structure.from_density(np.full(shape, 0.4), build_goals(problem)))


@pytest.fixture
def conditioner() -> GoalsConditioner:
    return build(fit([build_item(1)], Config()))


def test_contract(conditioner: GoalsConditioner, tmp_path: Path) -> None:
    path = tmp_path / "goals.toml"
    path.write_text(write_structure(build_empty(build_item(4).value.goals)))
    items = [build_item(1), Item(Structure(np.zeros((8, 12), np.uint8))), build_item(5)]
    check_conditioner(conditioner, items, [str(path)])


def test_goals_without_a_design_are_read(conditioner: GoalsConditioner, tmp_path: Path) -> None:
    path = tmp_path / "goals.toml"
    goals = build_item(4).value.goals
    path.write_text(write_structure(build_empty(goals)).split("[density]")[0])
    assert conditioner.parse(str(path)) == goals


def test_no_goals_are_zeros_and_goals_are_not(conditioner: GoalsConditioner) -> None:
    field = conditioner.encode([build_item(2).value.goals, None]).field
    assert field is not None
    assert field.shape == (2, 10, 8, 12)
    assert field[0].any()
    assert not field[1].any()


def test_other_grids_are_encoded_together_if_they_are_alike(conditioner: GoalsConditioner) -> None:
    goals = [build_item(2, (16, 8)).value.goals, None]
    field = conditioner.encode(goals).field
    assert field is not None
    assert field.shape == (2, 10, 16, 8)
    with pytest.raises(GenloomError) as caught:
        conditioner.encode([*goals, build_item(2).value.goals])
    assert caught.value.code == "conditioners.goal_grids"


def test_a_document_without_goals_is_refused(conditioner: GoalsConditioner, tmp_path: Path) -> None:
    path = tmp_path / "design.toml"
    path.write_text(write_structure(Structure(np.zeros((8, 12), np.uint8))))
    with pytest.raises(GenloomError) as caught:
        conditioner.parse(str(path))
    assert caught.value.code == "conditioners.no_goals"


def test_data_of_several_grids_are_refused() -> None:
    with pytest.raises(GenloomError) as caught:
        fit([build_item(1), build_item(1, (8, 8))], Config())
    assert caught.value.code == "conditioners.goal_grids"


@pytest.mark.parametrize("turn", range(8))
def test_goals_survive_their_document(conditioner: GoalsConditioner, turn: int) -> None:
    problem = build_empty_problem((8, 8), 0.3, cases=2)
    problem.fixed[3, :4] = True
    problem.forces[0, 8, 8], problem.forces[1, 0, 8] = (0.25, -1), (0, 2)
    problem.passive[2:4, 5] = -1
    goals = build_goals(turn_problem(problem, turn))
    blobs: dict[str, bytes] = {}

    def save(data: bytes, suffix: str) -> str:
        blobs[suffix] = data
        return suffix

    assert conditioner.unpack(conditioner.pack(goals, save), blobs.__getitem__) == goals
