"""`genloom trace`: what a person reads about the origin of something."""

import json
from pathlib import Path

import pytest

from genloom.cli import run
from genloom.store.workspace import Workspace

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
    record = {"model": "gone/1", "medium": "text", "prompt": "A wish", "written": "x"}
    return Workspace(tmp_path / "home").save_output("x", ".txt", record)


def test_a_trace_is_a_tree_json_and_a_page(output: str, tmp_path: Path, capsys: Capture) -> None:
    page = tmp_path / "trace.html"
    assert run(["trace", output, "--out", str(page)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"output {output}")
    assert 'prompt "A wish"' in printed
    assert "model gone/1 [missing" in printed
    assert page.read_text().startswith("<!doctype html>")
    assert run(["trace", "last", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["root"], content["direction"]) == (f"output:{output}", "backward")
    assert {node["kind"] for node in content["nodes"]} == {"output", "prompt", "model"}


def test_a_changed_output_has_another_exit_code(output: str, tmp_path: Path, capsys: Capture) -> None:
    (path,) = (tmp_path / "home" / "outputs").glob(f"*/{output}.txt")
    path.write_text("y")
    assert run(["trace", output]) == 1
    assert "CHANGED" in capsys.readouterr().out


def test_a_name_of_nothing_is_an_error(output: str, capsys: Capture) -> None:
    assert run(["trace", "nothing-of-this-name"]) == 2
    assert "trust.nothing_to_trace" in capsys.readouterr().err
