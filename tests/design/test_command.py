"""`genloom design`: from goals to files and a report, with every fault named before any work."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import genloom as gl
from genloom.api.design import PLANE_SUFFIXES, DesignProgress, MadeDesign, choose_designs, iter_designs
from genloom.cli import run
from genloom.errors import GenloomError
from genloom.generate.design.finishing import check_goals, choose_different, draw_start, measure_distance
from genloom.media import design
from genloom.media.design.examples import build_example
from genloom.media.design.facts import assess_structure
from genloom.media.design.solids import read_solid

GOALS = """
title = "A <small> bracket"
domain = {size = ["40 mm", "20 mm"], resolution = 16, thickness = "2 mm"}
material = {preset = "PETG"}
goal = {volume = 0.5}
support = [{at = "left"}]
load = [
  {at = "bottom right", force = ["0 N", "-10 N"], case = "hanging"},
  {at = "top right", force = ["5 N", "0 N"], case = "pulled"},
]
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bracket.toml").write_text(GOALS)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["design", *arguments, "--model", "none", "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_designs_are_made_and_saved(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "bracket.toml", "--count", "2", "--refine", "3", "--out", "made")
    assert [entry["name"] for entry in result["designs"]] == ["design-1", "design-2"]
    for entry in result["designs"]:
        assert [Path(file).suffix for file in entry["files"]] == list(PLANE_SUFFIXES)
        structure = design.open(home / "made" / f"{entry['name']}.toml").value
        assert structure.volume == pytest.approx(0.5, abs=0.002)
        assert structure.goals is not None
        assert structure.goals.title == "A <small> bracket"
        state = assess_structure(structure)
        assert entry["facts"]["compliance, J"] == pytest.approx(state.compliance)
        assert [case.name for case in state.cases] == ["hanging", "pulled"]
        actions = [gain["action"] for gain in entry["gains"]]
        assert actions[0] == "start"
        assert actions.count("step") == 3
        assert read_solid((home / "made" / f"{entry['name']}.stl").read_bytes(), ".stl").is_watertight
    assert 0 < result["designs"][0]["distance"] <= 1


def test_the_report_is_complete_and_self_contained(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "bracket.toml", "--out", "made", "--formats", "toml,stl")
    page = (home / "made" / "report.html").read_text()
    assert "A &lt;small&gt; bracket" in page
    words = ("PETG", "1.5 GPa", "47 MPa", "hanging", "pulled", "Safety factor", "Check of the mesh", "plane stress")
    words += ("Plane stress", "no buckling", "signed", "design-1.stl", "Convergence", "16 × 8 elements")
    assert [word for word in words if word not in page] == []
    assert not re.search(r'(?:src|href)="(?!data:)', page), "nothing is loaded from elsewhere"
    assert "<script" not in page
    assert page.count("data:image/png") == 1 + 1 + 2 * 2 + 1  # goals, design, two plots a case, convergence
    assert sorted(path.name for path in (home / "made").iterdir() if path.suffix != ".c2pa") == [
        "design-1.stl",
        "design-1.toml",
        "report.html",
        "sheet.png",
    ]


def test_files_are_signed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from genloom.trust import manifests, signing

    call(capsys, "bracket.toml", "--out", "made", "--formats", "stl,png")
    for name in ("design-1.stl", "design-1.png", "report.html"):
        manifest = manifests.read_manifest(home / "made" / name, signing.read_anchors(home / "home"))
        assert manifest is not None
        assert manifest.state == "unchanged"
        assert manifest.source_type == "algorithmicMedia"


def test_words_are_shown_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "none", "--resolution", "20", "--out", "made", "--formats", "toml"]
    assert run(["design", "--prompt", "a light beam held at both ends", *options]) == 0
    out = capsys.readouterr().out
    assert out.index("held at both ends") < out.index("design-1")
    assert "at most 25 % of the domain" in out


def test_options_change_the_goals(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "--resolution",
        "20",
        "--volume",
        "0.6",
        "--symmetric",
        "y",
        "--max-stress",
        "200MPa",
        "--formats",
        "toml",
    )
    call(capsys, "--example", "cantilever", *options, "--out", "made")
    structure = design.open(home / "made" / "design-1.toml").value
    assert structure.goals is not None
    assert structure.goals.domain.elements == (20, 10)
    kept = structure.goals.limits
    assert (kept.volume, kept.symmetry, kept.max_stress) == (0.6, "y", pytest.approx(200e6))
    assert abs(structure.density - structure.density[::-1]).mean() < 0.02


def test_a_limit_that_cannot_be_met_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "bracket.toml", "--max-displacement", "0.0001mm", "--formats", "toml", code=1)
    assert "limit" in result["designs"][0]["faults"][0]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "design.one_source_of_goals"),
        (("bracket.toml", "--example", "hook"), "design.one_source_of_goals"),
        (("--example", "hok"), "design.example_unknown"),
        (("missing.toml",), "media.unreadable_file"),
        (("bracket.toml", "--max-stress", "120"), "design.unit_missing"),
        (("bracket.toml", "--formats", "step"), "design.bad_save_suffix"),
        (("bracket.toml", "--model", "icons"), "design.model_of_other_medium"),
        (("--prompt", "a purple bridge"), "design.word_unknown"),
    ],
)
def test_faults_are_named(arguments: tuple[str, ...], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["design", *arguments]) == 2
    assert f"[{code}]" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--max-stress", "120"), ("--symmetric", "q")])
def test_a_limit_of_an_option_is_named_as_the_option(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["design", "--example", "hook", option, value]) == 2
    error = capsys.readouterr().err
    assert option in error
    assert "goal." not in error


def test_goals_without_a_solution_are_refused_before_any_work(home: Path) -> None:
    workspace = gl.Workspace(home / "home")
    goals = build_example("cantilever")
    with pytest.raises(GenloomError) as caught:
        next(iter_designs(workspace, type(goals)(goals.domain, (), goals.loads)))
    assert caught.value.code == "mechanics.no_support"
    check_goals(goals)


def test_different_designs_are_chosen_among_stiff_ones(home: Path) -> None:
    goals = build_example("cantilever")
    made: list[MadeDesign] = []
    from dataclasses import replace

    from genloom.media.design.document import check_grid
    from genloom.media.design.goals import Domain

    coarse = replace(goals, domain=Domain((24, 12), goals.domain.size[0] / 24, goals.domain.thickness))
    check_grid(coarse.domain.elements, coarse.domain.size, coarse.domain.element_size)
    steps = 0
    for event in iter_designs(gl.Workspace(home / "home"), coarse, count=2, model="none"):
        if isinstance(event, DesignProgress):
            steps += 1
        else:
            made.append(event)
    assert len(made) == 2
    assert steps > 10
    first, second = (each.structure for each in made)
    assert measure_distance(first, first) == 0
    assert measure_distance(first, second) == pytest.approx(made[0].distance)
    assert choose_designs(made, 1)[0].structure == min(made, key=lambda m: m.facts["compliance, J"]).structure
    assert choose_different([first, first, second], [1.0, 1.01, 1.05], 2, slack=0.1) == [0, 2]
    assert choose_different([first, first, second], [1.0, 1.01, 1.5], 2, slack=0.1) == [0, 1]


def test_starts_differ_and_the_first_is_even() -> None:
    goals = build_example("cantilever")
    assert draw_start(goals, 0, 0) is None
    first, second = draw_start(goals, 0, 1), draw_start(goals, 0, 2)
    assert first is not None
    assert second is not None
    assert abs(first - second).mean() > 0.02
    assert (first == draw_start(goals, 0, 1)).all()


def test_designs_of_the_python_api_are_made_and_saved(home: Path) -> None:
    workspace = gl.Workspace(home / "home")
    made = workspace.design("bracket.toml", count=2, model="none", out=home / "made", progress=False)
    assert [each.structure.axes for each in made] == [2, 2]
    assert (home / "made" / "report.html").is_file()
    for number, each in enumerate(made, start=1):
        saved = design.open(home / "made" / f"design-{number}.toml").value
        assert (saved.levels == each.structure.levels).all()


def test_each_call_has_a_seed_of_its_own_which_repeats_it(home: Path) -> None:
    workspace, goals = gl.Workspace(home / "home"), "bracket.toml"
    texts = [{each.origin for each in workspace.design(goals, count=2, model="none", progress=False)} for _ in range(2)]
    assert texts[0] != texts[1]
    first, again = (workspace.design(goals, count=2, model="none", seed=7, progress=False) for _ in range(2))
    assert [each.origin for each in first] == [each.origin for each in again]
    assert all((a.structure.levels == b.structure.levels).all() for a, b in zip(first, again, strict=True))
