"""The notebooks run, and what they show is stored with them."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.tools import load_tool

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
SLOW = {"text", "adapters"}  # which train


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    """tools/notebooks.py."""
    return load_tool("notebooks")


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else ()) for path in NOTEBOOKS],
    ids=[path.stem for path in NOTEBOOKS],
)
def test_a_notebook_runs(path: Path, runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
    stored = json.loads(path.read_text(encoding="utf-8"))
    again = runner.run_notebook(path)
    kinds = [[sorted(output.get("data", {})) for output in cell.get("outputs", [])] for cell in again["cells"]]
    assert kinds == [[sorted(output.get("data", {})) for output in cell.get("outputs", [])] for cell in stored["cells"]]
    assert any(kinds)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_names_no_place_on_this_machine(path: Path) -> None:
    assert path.stat().st_size < 200_000
    assert "/tmp/" not in path.read_text(encoding="utf-8")


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["adapters", "pictures", "text"]
