"""Facts of designs: what holds is told from what does not, by the solver and not by looks."""

from dataclasses import replace

import numpy as np
import pytest

from genloom.errors import GenloomError
from genloom.media import design
from genloom.media.design.examples import build_example
from genloom.media.design.facts import (
    assess_structure,
    count_overhanging,
    count_parts,
    list_faults,
    measure_mass,
)
from genloom.media.design.goals import DesignGoals, Domain, Limits, Load, Place, Support
from genloom.media.design.structure import Structure
from genloom.media.design.style_features import STYLE_NAMES
from genloom.rate.checks import holds
from genloom.types import Item

BEAM = DesignGoals(
    Domain((80, 16), 1e-3, 2e-3),
    (Support(Place("left"), "xy"),),
    (Load(Place("right"), (0.0, -10.0)),),
    limits=Limits(volume=1.0),
)
SOLID = Structure(np.full((16, 80), 255, np.uint8), BEAM)


def cut_hole(structure: Structure, rows: slice, columns: slice) -> Structure:
    levels = structure.levels.copy()
    levels[rows, columns] = 0
    return Structure(levels, structure.goals)


def test_a_solid_cantilever_bends_as_the_beam_of_timoshenko() -> None:
    """P L³ / 3 E I plus shear, P L / (5/6 G A); steel, 80 × 16 × 2 mm, 10 N."""
    state = assess_structure(SOLID)
    modulus, ratio, length, height, width = 210e9, 0.3, 0.08, 0.016, 0.002
    inertia, shear = width * height**3 / 12, modulus / (2 * (1 + ratio))
    expected = 10 * length**3 / (3 * modulus * inertia) + 10 * length / (5 / 6 * shear * height * width)
    assert state.max_displacement == pytest.approx(expected, rel=0.02)
    assert state.compliance == pytest.approx(10 * expected, rel=0.02)
    bending = 10 * (length - 0.01) * (height / 2 - 0.0005) / inertia  # 10 mm from the support, half an element inside
    measured = state.von_mises[0][0, 10]
    assert measured == pytest.approx(bending, rel=0.05)
    assert state.safety_factor == pytest.approx(235e6 / state.max_stress)
    assert measure_mass(SOLID) == pytest.approx(0.08 * 0.016 * 0.002 * 7850)


def test_parts_holes_and_loads_that_nothing_carries() -> None:
    assert list_faults(SOLID) == []
    hole = cut_hole(SOLID, slice(6, 10), slice(30, 40))
    assert (count_parts(hole).num_holes, count_parts(hole).carries_loads) == (1, True)
    broken = cut_hole(SOLID, slice(None), slice(40, 44))
    parts = count_parts(broken)
    assert not parts.carries_loads
    assert parts.num_floating == 2  # neither carries the load
    assert len(list_faults(broken)) == 2
    assert list_faults(Structure(np.zeros((16, 80), np.uint8), BEAM))


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (Limits(volume=0.5), "solid"),
        (Limits(volume=1, max_stress=1e6), "MPa"),
        (Limits(volume=1, max_displacement=1e-7), "moves"),
    ],
)
def test_limits_that_are_missed_are_named(limits: Limits, word: str) -> None:
    (fault,) = list_faults(SOLID.with_goals(replace(BEAM, limits=limits)))
    assert word in fault


def test_shapes_that_miss_their_limits_are_named() -> None:
    thin = cut_hole(cut_hole(SOLID, slice(0, 7), slice(0, 60)), slice(9, 16), slice(0, 60))
    goals = BEAM.with_limits(min_thickness=4e-3)
    assert any("thinner" in fault for fault in list_faults(thin.with_goals(goals)))
    assert not list_faults(SOLID.with_goals(goals))
    lopsided = cut_hole(SOLID, slice(10, 16), slice(20, 60))
    assert any("mirror" in fault for fault in list_faults(lopsided.with_goals(BEAM.with_limits(symmetry="y"))))
    assert not list_faults(lopsided.with_goals(BEAM.with_limits(symmetry="x", volume=1)))


def test_overhangs_are_those_steeper_than_the_angle() -> None:
    rows, columns = np.indices((20, 40))
    slope = Structure.from_density((columns < 10 + (19 - rows)).astype(float))  # leans out by 45 degrees
    assert count_overhanging(slope, 45) == 0
    assert count_overhanging(slope, 20) > 0
    shelf = Structure.from_density(((columns < 8) | (rows < 4)).astype(float))
    assert count_overhanging(shelf, 45) > 20


def test_a_weaker_design_scores_less_however_it_looks() -> None:
    strong = holds.check(SOLID, holds.Config())
    assert (strong.score, strong.has_passed) == (1.0, True)
    pretty = cut_hole(SOLID, slice(1, 15), slice(10, 70))  # two thin lines
    assert not holds.check(pretty, holds.Config(min_stiffness=0.5)).has_passed
    assert holds.check(pretty, holds.Config(min_stiffness=0.5)).score < 0.5
    assert not holds.check(SOLID, holds.Config(max_stress=0.1)).has_passed
    unknown = holds.check(Structure(SOLID.levels), holds.Config())
    assert (unknown.score, unknown.has_passed) == (0.0, False)


def test_without_goals_there_is_no_state() -> None:
    with pytest.raises(GenloomError) as caught:
        assess_structure(Structure(SOLID.levels))
    assert caught.value.code == "design.goals_unknown"
    assert set(design.describe(Structure(SOLID.levels))) == {"volume, %", "parts", "holes"}


def test_style_features_tell_what_people_see() -> None:
    def features(structure: Structure) -> dict[str, float]:
        return dict(zip(STYLE_NAMES, design.extract_style_features(structure).tolist(), strict=True))

    one, many = (cut_hole(SOLID, slice(4, 12), slice(20, 60)), SOLID)
    for left in range(10, 70, 12):
        many = cut_hole(many, slice(5, 11), slice(left, left + 6))
    assert features(many)["holes"] > features(one)["holes"] > features(SOLID)["holes"] == 0
    assert features(many)["largest hole"] < features(one)["largest hole"]
    assert features(one)["mean thickness"] < features(SOLID)["mean thickness"]
    lopsided = cut_hole(SOLID, slice(0, 8), slice(0, 40))
    assert features(lopsided)["symmetry x"] > features(one)["symmetry x"]


def test_designs_that_look_alike_are_one() -> None:
    slightly = SOLID.levels.copy()
    slightly[3, 3] = 200
    assert design.identify_value(SOLID) == design.identify_value(Structure(slightly, BEAM))
    assert design.identify_value(SOLID) != design.identify_value(cut_hole(SOLID, slice(4, 12), slice(20, 60)))


def test_the_preview_names_size_and_stress() -> None:
    goals = build_example("cantilever")
    text = design.preview(Item(Structure(np.full(goals.domain.shape, 255, np.uint8), goals)))
    assert "120 × 60 mm" in text
    assert "MPa" in text
