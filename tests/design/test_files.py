"""Files of designs: solids are watertight, outlines closed and of the right area, pictures and reports complete."""

import io
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom.errors import GenloomError
from genloom.media import design
from genloom.media.design.examples import build_example
from genloom.media.design.goals import DesignGoals, Domain, Load, Place, Region, Support
from genloom.media.design.outlines import build_section, list_outlines, measure_area
from genloom.media.design.solids import SUFFIXES, build_solid, read_solid, write_solid
from genloom.media.design.structure import Structure
from genloom.media.design.vector_files import write_dxf, write_svg
from genloom.types import Item

SHAPES = ((24, 40), (32, 32), (40, 24))


def build_random(seed: int, sharpness: float, shape: tuple[int, ...], goals: DesignGoals | None = None) -> Structure:
    """Return a random design with rods and holes: smooth noise, cut softly or sharply."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.3 + 0.3 * (seed % 4), mode="nearest")
    level = np.quantile(noise, 0.4 + 0.05 * (seed % 5))
    return Structure.from_density(1 / (1 + np.exp(-np.clip(sharpness * (noise - level) / noise.std(), -60, 60))), goals)


def build_plain_goals(shape: tuple[int, ...], *regions: Region) -> DesignGoals:
    domain = Domain(tuple(reversed(shape)), 1e-3, 4e-3 if len(shape) == 2 else 0.0)
    force = (0.0, -1.0) if len(shape) == 2 else (0.0, -1.0, 0.0)
    hold = "xy" if len(shape) == 2 else "xyz"
    return DesignGoals(domain, (Support(Place("left"), hold),), (Load(Place("right"), force),), tuple(regions))


@pytest.mark.parametrize("seed", range(24))
def test_solids_of_plane_designs_are_watertight(seed: int) -> None:
    shape = SHAPES[seed % 3]
    regions = [Region("empty", (0.012, 0.012), (), 0.004), Region("solid", (0.0, 0.0), (0.02, 0.003))]
    goals = build_plain_goals(shape, *regions[: seed % 3])
    structure = build_random(seed, (3.0, 30.0, 1000.0)[seed % 3], shape, goals)
    area = build_section(structure).area()
    for suffix in SUFFIXES:
        mesh = read_solid(write_solid(structure, suffix), suffix)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume == pytest.approx(4 * area, rel=1e-4)
        assert np.allclose(mesh.bounds[:, 2], [0, 4], atol=1e-5)


def test_checkerboards_and_touching_corners_are_watertight_too() -> None:
    board = np.indices((12, 12)).sum(0) % 2
    corners = np.kron([[1, 0], [0, 1]], np.ones((6, 6)))
    for density in (corners, np.kron(board[:4, :4], np.ones((3, 3)))):
        mesh = read_solid(write_solid(Structure.from_density(density), ".stl"), ".stl")
        assert mesh.is_watertight


@pytest.mark.parametrize("seed", range(4))
def test_solids_in_space_are_watertight(seed: int) -> None:
    shape = (8, 10, 12)
    goals = build_plain_goals(shape, Region("empty", (0.006, 0.005), (), 0.002))
    structure = build_random(seed, 30.0, shape, goals)
    for suffix in SUFFIXES:
        mesh = read_solid(write_solid(structure, suffix), suffix)
        assert mesh.is_watertight
        assert mesh.volume > 0
    lower, upper = mesh.bounds
    assert (lower > -1e-4).all()
    assert (upper < np.array([12, 10, 8]) + 1e-4).all()


def test_a_solid_in_space_stands_upright() -> None:
    """Row 0 is the top, and z goes to the back."""
    density = np.zeros((4, 6, 8))
    density[0, :2] = 1  # in front, above
    mesh = read_solid(write_solid(Structure.from_density(density), ".stl"), ".stl")
    assert mesh.centroid[1] == pytest.approx(5, abs=0.3)
    assert mesh.centroid[2] < 1.2


@pytest.mark.parametrize("seed", range(6))
def test_an_outline_has_the_area_of_the_density(seed: int) -> None:
    structure = build_random(seed, 30.0, (32, 48), build_plain_goals((32, 48)))
    outlines = list_outlines(structure)
    assert sum(map(measure_area, outlines)) == pytest.approx(32 * 48 * structure.volume, rel=0.01)


def test_holes_of_the_goals_are_round_and_borders_straight() -> None:
    goals = build_plain_goals((32, 48), Region("empty", (0.02, 0.016), (), 0.005))
    outlines = list_outlines(Structure.from_density(np.ones((32, 48)), goals))
    assert len(outlines) == 2
    border, hole = outlines
    assert measure_area(border) == pytest.approx(32 * 48)
    assert len(border) == 4
    assert np.hypot(*(hole - [20, 16]).T) == pytest.approx(5, abs=0.02)
    assert measure_area(hole) < 0


def test_svg_is_in_millimetres_and_upright() -> None:
    density = np.zeros((20, 30))
    density[:10] = 1  # the upper half
    root = ET.fromstring(write_svg(Structure.from_density(density, build_plain_goals((20, 30)))))
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("30mm", "20mm", "0 0 30 20")
    path = next(each for each in root.iter() if each.tag.endswith("path")).get("d") or ""
    numbers = np.array(re.findall(r"-?\d+\.\d+", path), float).reshape(-1, 2)
    assert numbers[:, 1].min() == pytest.approx(0, abs=1e-3)
    assert numbers[:, 1].max() == pytest.approx(10, abs=0.1)
    assert path.count("M") == path.count("Z") == 1


def test_dxf_has_closed_polylines_on_layers() -> None:
    import ezdxf

    goals = build_plain_goals((32, 48), Region("empty", (0.02, 0.016), (), 0.005))
    structure = Structure.from_density(np.ones((32, 48)), goals)
    data = write_dxf(structure)
    assert data == write_dxf(structure)
    document = ezdxf.read(io.StringIO(data.decode()))
    assert not document.audit().errors
    lines: list[Any] = list(document.modelspace())
    assert {line.dxf.layer for line in lines} == {"OUTLINE", "HOLES"}
    assert all(line.closed for line in lines)
    assert document.units == 4


def test_what_is_not_there_is_not_exported() -> None:
    empty = Structure(np.zeros((8, 8), np.uint8))
    for suffix in (".svg", ".dxf", ".stl"):
        with pytest.raises(GenloomError) as caught:
            design.render(empty, suffix)
        assert caught.value.code == "design.nothing_to_export"
    with pytest.raises(GenloomError) as caught:
        design.render(Structure(np.full((4, 4, 4), 255, np.uint8)), ".dxf")
    assert caught.value.code == "design.outline_of_solid"
    with pytest.raises(GenloomError) as caught:
        design.render(empty, ".step")
    assert caught.value.code == "design.bad_save_suffix"


def test_every_format_is_saved(tmp_path: Path) -> None:
    structure = build_random(3, 30.0, (24, 40), build_plain_goals((24, 40)))
    for suffix in design.save_suffixes:
        design.save(Item(structure), tmp_path / f"design{suffix}")
    assert {path.suffix for path in tmp_path.iterdir()} == set(design.save_suffixes)
    assert design.open(tmp_path / "design.toml").value == structure


@pytest.mark.parametrize("name", ["cantilever", "hook", "bridge"])
def test_pictures_show_supports_and_loads(name: str) -> None:
    from PIL import Image

    goals = build_example(name)
    structure = Structure(np.zeros(goals.domain.shape, np.uint8), goals)
    pixels = np.asarray(Image.open(io.BytesIO(design.show(structure).data)).convert("RGB")).reshape(-1, 3)
    colours = {tuple(colour) for colour in pixels.tolist()}
    assert (0, 114, 178) in colours  # supports
    assert (213, 94, 0) in colours  # loads


def test_a_solid_in_space_has_a_picture() -> None:
    density = np.zeros((6, 6, 6))
    density[:3] = 1
    structure = Structure.from_density(density, build_plain_goals((6, 6, 6)))
    assert design.show(structure).mime == "image/png"
    assert build_solid(structure).volume() == pytest.approx(108, rel=0.15)
    assert math.isfinite(design.describe(structure)["mass, g"])
