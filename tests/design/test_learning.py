"""Designs as data and as answers: turns share a split, overlaps are found in any turn, weaker designs are refused."""

from typing import Any

import numpy as np
import pytest

from genloom.collect.design import compute_link
from genloom.learn.comparison import AnswerPairs
from genloom.learn.safeguards import default
from genloom.learn.safeguards import design as safeguards
from genloom.media.design.goals import DesignGoals, Domain, Limits, Load, Place, Support
from genloom.media.design.mechanics.turning import turn_array
from genloom.media.design.structure import Structure
from genloom.trust.design.overlap_index import encode_density, encode_turns, measure_overlaps

GOALS = DesignGoals(
    Domain((24, 12), 1e-3, 2e-3),
    (Support(Place("left"), "xy"),),
    (Load(Place("right"), (0.0, -10.0)),),
    limits=Limits(volume=1.0),
)


def build_frame(border: int) -> Structure:
    """Return a frame whose bars are so many elements thick."""
    density = np.ones((12, 24))
    density[border:-border, border:-border] = 0
    return Structure.from_density(density, GOALS)


def test_turns_of_a_design_are_in_one_split() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
    assert len({compute_link(turn_array(levels, turn)) for turn in range(8)}) == 1
    assert compute_link(levels) != compute_link(255 - levels)


def test_a_turned_copy_has_all_material_in_common() -> None:
    corner = np.zeros((16, 16), np.uint8)
    corner[:4, :10] = 255
    value = Structure(corner)
    other = np.zeros((16, 16))
    other[8:] = 1
    stored = np.stack([encode_density(turn_array(value.density, 3)), encode_density(other)])
    overlaps = measure_overlaps(encode_turns(value), stored)
    assert overlaps[0] == pytest.approx(1)
    assert overlaps[1] == pytest.approx(40 / 128, abs=0.01)  # all of it lies in the half, in some turn
    solid = Structure(np.full((4, 4, 4), 255, np.uint8))
    assert measure_overlaps(encode_turns(solid), stored).tolist() == [0, 0]


def test_a_prettier_but_weaker_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "measure_safeguards", lambda *arguments: [])
    model: Any = None

    def measure(before: list[Structure], after: list[Structure]) -> dict[str, bool]:
        measures = safeguards.measure_safeguards(model, model, model, (), AnswerPairs((), before, after))
        return {measure.name: measure.has_regressed_significantly for measure in measures}

    thick, thin = [build_frame(3)] * 8, [build_frame(2)] * 8
    weaker = measure(thick, thin)
    assert weaker["compliance (log)"]
    assert weaker["greatest stress (log)"]
    assert not weaker["disconnected designs"]
    assert not any(measure(thin, thick).values())
    broken = thick[0].levels.copy()
    broken[:, 10:12] = 0
    assert measure(thick, [Structure(broken, GOALS)] * 8)["disconnected designs"]
    heavy = GOALS.with_limits(volume=0.4)
    excess = measure([each.with_goals(heavy) for each in thin], [each.with_goals(heavy) for each in thick])
    assert excess["volume above the limit"]
