"""Documents of goals: units, places and limits are read, written back exactly, and refused with the entry to change."""

from pathlib import Path

import numpy as np
import pytest

from genloom.errors import GenloomError
from genloom.media import design
from genloom.media.design.document import parse_document
from genloom.media.design.document_writing import write_goals
from genloom.media.design.examples import NAMES, build_example
from genloom.media.design.goals import DesignGoals
from genloom.media.design.materials import PRESETS, find_material
from genloom.media.design.mechanics.checks import check_problem
from genloom.media.design.problems import build_goals, build_problem
from genloom.media.design.structure import Structure, read_structure, write_structure
from genloom.media.design.units import parse_quantity
from genloom.types import Item

BRACKET = """
title = "A bracket"
domain = {size = ["120 mm", "6 cm"], resolution = 48, thickness = "5 mm"}
material = {preset = "aluminium"}
goal = {volume = "35 %", max_stress = "120 MPa", min_thickness = "6 mm", symmetry = "y", overhang = "45 deg"}
support = [{center = ["15 mm", "30 mm"], radius = "8 mm"}, {at = "bottom left", hold = "y"}]
load = [
  {from = ["100 mm", "60 mm"], to = ["120 mm", "60 mm"], force = ["0 N", "-0.5 kN"], case = "down"},
  {point = ["120 mm", "30 mm"], force = ["100 N", "0 N"], case = "side"},
]
region = [
  {kind = "empty", center = ["15 mm", "30 mm"], radius = "6 mm"},
  {kind = "solid", from = ["100 mm", "55 mm"], to = ["120 mm", "60 mm"]},
]
"""


def read(text: str) -> DesignGoals:
    goals, _ = parse_document(text)
    assert goals is not None
    return goals


def test_quantities_are_read_in_si_units() -> None:
    assert parse_quantity("120 MPa", "stress", "") == pytest.approx(120e6)
    assert parse_quantity("2mm", "length", "") == pytest.approx(2e-3)
    assert parse_quantity("0.5 kN", "force", "") == pytest.approx(500)
    assert parse_quantity("2.7 g/cm^3", "density", "") == pytest.approx(2700)
    assert parse_quantity("1 lbf", "force", "") == pytest.approx(4.448, abs=1e-3)
    assert parse_quantity("35 %", "share", "") == pytest.approx(0.35)
    assert parse_quantity(0.35, "share", "") == pytest.approx(0.35)


def test_a_document_says_where_things_are() -> None:
    goals = read(BRACKET)
    problem = build_problem(goals)
    assert problem.shape == (24, 48)
    assert (problem.element_size, problem.thickness) == (pytest.approx(2.5e-3), pytest.approx(5e-3))
    assert problem.volume == pytest.approx(0.35)
    assert problem.elastic_modulus == pytest.approx(68.9e9)
    assert goals.cases == ("down", "side")
    assert np.allclose(problem.forces.sum((1, 2)), [[0, -500], [100, 0]])
    assert problem.forces[0][0].any()  # row 0 is the top
    assert problem.fixed[-1, 0].tolist() == [False, True]  # the corner slides along x
    rim = np.argwhere(problem.fixed.all(-1)) * 2.5
    distances = np.hypot(60 - rim[:, 0] - 30, rim[:, 1] - 15)  # mm from the centre; rows count from the top
    assert len(rim) > 8
    assert np.abs(distances - 8).max() < 2.5
    assert (problem.passive == -1).any()
    assert (problem.passive[:2, 40:] == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_problems_and_come_back(name: str) -> None:
    goals = build_example(name)
    check_problem(build_problem(goals))
    assert read(write_goals(goals)) == goals


def test_goals_and_arrays_are_the_same_problem() -> None:
    problem = build_problem(read(BRACKET))
    again = build_problem(read(write_goals(build_goals(problem, "from arrays"))))
    assert (again.fixed == problem.fixed).all()
    assert np.allclose(again.forces, problem.forces)
    assert (again.passive == problem.passive).all()
    assert again.element_size == pytest.approx(problem.element_size, rel=1e-12)


def test_a_design_keeps_its_goals_in_a_file(tmp_path: Path) -> None:
    goals = read(BRACKET)
    structure = Structure.from_density(np.random.default_rng(0).random(goals.domain.shape), goals)
    design.save(Item(structure), tmp_path / "design.toml")
    item = design.open(tmp_path / "design.toml")
    assert item.value == structure
    assert item.value.goals == goals
    assert item.meta["title"] == "A bracket"
    assert read_structure(write_structure(structure)) == structure


def test_solids_in_space_have_depth() -> None:
    goals = read("""
domain = {size = ["40 mm", "30 mm", "20 mm"], resolution = 8}
support = [{at = "left"}]
load = [{at = "right", force = ["0 N", "-10 N", "0 N"]}]
""")
    problem = build_problem(goals)
    assert problem.shape == (4, 6, 8)
    assert problem.fixed[:, :, 0].all()
    assert np.allclose(problem.forces.sum((0, 1, 2, 3)), [0, -10, 0])
    check_problem(problem)


BASE = """
domain = {size = ["40 mm", "20 mm"], resolution = 16, thickness = "2 mm"}
support = [{at = "left"}]
load = [{at = "right", force = ["0 N", "-10 N"]}]
"""
FAULTS = {
    "design.unit_missing": BASE.replace('"2 mm"}', "2}"),
    "design.unit_of_other_kind": BASE.replace('"-10 N"', '"-10 mm"'),
    "design.no_quantity": BASE.replace('"-10 N"', '"ten newtons"'),
    "design.entry_missing": BASE.replace(', thickness = "2 mm"', ""),
    "design.entry_unknown": BASE + "goal = {volum = 0.3}",
    "design.bad_volume": BASE + "goal = {volume = 1.2}",
    "design.bad_axes": BASE + 'goal = {symmetry = "q"}',
    "design.bad_overhang": BASE + 'goal = {overhang = "95 deg"}',
    "design.thicker_than_domain": BASE + 'goal = {min_thickness = "1 m"}',
    "design.not_positive": BASE + 'goal = {max_stress = "-1 MPa"}',
    "design.side_unknown": BASE.replace('"left"', '"west"'),
    "design.place_missing": BASE.replace('at = "left"', 'hold = "x"'),
    "design.point_outside": BASE.replace('at = "right"', 'point = ["50 mm", "10 mm"]'),
    "design.bad_point": BASE.replace('at = "right"', 'point = ["5 mm"]'),
    "design.no_force": BASE.replace('"-10 N"', '"0 N"'),
    "design.bad_force": BASE.replace('["0 N", "-10 N"]', '["-10 N"]'),
    "design.grid_too_large": BASE.replace("resolution = 16", "resolution = 4000"),
    "design.grid_too_small": BASE.replace("resolution = 16", "resolution = 1"),
    "design.bad_resolution": BASE.replace("resolution = 16", "resolution = 1.5"),
    "design.no_squares": BASE.replace("resolution = 16", "elements = [16, 16]"),
    "design.bad_elements": BASE.replace("resolution = 16", "elements = [16]"),
    "design.bad_size": BASE.replace('["40 mm", "20 mm"]', '["40 mm"]'),
    "design.thickness_of_solid": BASE.replace('"20 mm"]', '"20 mm", "10 mm"]'),
    "design.material_unknown": BASE + 'material = {preset = "unobtainium"}',
    "design.bad_poisson_ratio": BASE + "material = {poisson_ratio = 0.7}",
    "design.no_table": BASE + "goal = 3",
    "design.no_tables": BASE + "region = {}",
    "design.bad_region": BASE + 'region = [{kind = "hole", from = ["0 mm", "0 mm"], to = ["9 mm", "9 mm"]}]',
    "design.flat_region": BASE + 'region = [{kind = "empty", from = ["0 mm", "0 mm"], to = ["9 mm", "0 mm"]}]',
    "design.no_toml": "domain = [",
    "design.empty_document": "title = 'nothing'",
    "design.too_many_entries": BASE + "region = [" + "{}," * 6000 + "]",
    "design.file_too_large": "#" * (9 << 20),
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_fault_of_a_document_has_its_code(code: str) -> None:
    with pytest.raises(GenloomError) as caught:
        parse_document(FAULTS[code])
    assert caught.value.code == code


def test_regions_may_not_contradict_each_other() -> None:
    box = 'from = ["0 mm", "0 mm"], to = ["9 mm", "9 mm"]'
    goals = read(BASE + f'region = [{{kind = "solid", {box}}}, {{kind = "empty", {box}}}]')
    with pytest.raises(GenloomError) as caught:
        build_problem(goals)
    assert caught.value.code == "design.regions_contradict"


def test_small_places_have_a_node_and_small_regions_are_refused() -> None:
    tiny = BASE.replace('at = "left"', 'center = ["21.25 mm", "11.25 mm"], radius = "0.1 mm"')
    assert build_problem(read(tiny)).fixed.any()
    speck = BASE + 'region = [{kind = "empty", center = ["20 mm", "10 mm"], radius = "0.1 mm"}]'
    with pytest.raises(GenloomError) as caught:
        build_problem(read(speck))
    assert caught.value.code == "design.region_too_small"


def test_a_part_that_is_not_held_is_refused() -> None:
    faults = {
        "mechanics.no_support": BASE.replace('support = [{at = "left"}]', ""),
        "mechanics.mechanism": BASE.replace('{at = "left"}', '{at = "left", hold = "x"}'),
    }
    for code, text in faults.items():
        with pytest.raises(GenloomError) as caught:
            check_problem(build_problem(read(text)))
        assert caught.value.code == code


@pytest.mark.parametrize("damage", ["short", "letters", "shape", "bomb"])
def test_damaged_densities_are_refused(damage: str) -> None:
    import base64
    import zlib

    text = write_structure(Structure(np.zeros((8, 8), np.uint8)))
    packed = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    changed = {
        "short": text.replace("[8, 8]", "[8, 9]"),
        "letters": text.replace('levels = """\n', 'levels = """\n?'),
        "shape": text.replace("[8, 8]", "[8, 1000000000]"),
        "bomb": f'[density]\nshape = [8, 8]\nlevels = "{packed}"',
    }[damage]
    with pytest.raises(GenloomError) as caught:
        design.decode(changed.encode())
    assert caught.value.code in ("design.damaged_density", "design.bad_density_shape")


def test_goals_without_a_design_say_how_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "goals.toml"
    path.write_text(BASE)
    with pytest.raises(GenloomError, match="genloom design"):
        design.open(path)


def test_materials_have_sources() -> None:
    assert all(material.source for material in PRESETS.values())
    assert find_material("Aluminum") == PRESETS["aluminium"]
    with pytest.raises(GenloomError, match="Did you mean 'steel'"):
        find_material("stel")
