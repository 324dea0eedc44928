"""Bias reports of models: measured, seeded, compared, stored where a card finds them, and honest about other media."""

import json
from pathlib import Path
from typing import Any

import pytest

import genloom as gl
from genloom.cli import run
from genloom.errors import GenloomError
from genloom.store.workspace import Workspace as Store
from genloom.trust.bias import CATEGORIES, OVERALL, find_report


@pytest.fixture
def workspace(trained_copy: Store) -> gl.Workspace:
    return gl.Workspace(trained_copy.root)


def test_a_model_is_measured_and_its_card_finds_the_report(workspace: gl.Workspace) -> None:
    model = workspace.model("tales")
    found = model.bias(language="de", continuations=1, against=model)
    report = found.to_json()
    assert list(report["likelihood"]) == [*CATEGORIES, OVERALL]
    assert list(report["regard"]) == [*CATEGORIES, OVERALL]
    for category in report["likelihood"].values():
        assert category["gap"]["low"] <= category["gap"]["mean"] <= category["gap"]["high"]
    assert all(change["mean"] == 0 for change in report["changes"].values())
    found.save()
    assert find_report(workspace.folder, model.ref, model.digest) == report
    assert list(workspace.outputs) == []
    html = found._repr_html_()
    assert all(category in html for category in CATEGORIES)


def test_the_texts_of_a_seed_are_the_same(workspace: gl.Workspace) -> None:
    model = workspace.model("tales")
    first, second = (model.bias(language="de", continuations=1, seed=3).to_json()["regard"] for _ in range(2))
    assert first == second


def test_a_model_that_does_not_continue_texts_has_no_regard(workspace: gl.Workspace) -> None:
    report = workspace.model("masks").bias(language="de").to_json()
    assert report["measured"]
    assert report["regard"] == {}
    assert any("Regard is not measured" in limit for limit in report["limits"])


def test_the_verb_writes_the_report(
    workspace: gl.Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(workspace.folder))
    arguments = ["bias", "tales", "--language", "de", "--continuations", "0", "--json", "--out", str(tmp_path / "out")]
    assert run(arguments) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    stored = json.loads(Path(found.pop("file")).read_text(encoding="utf-8"))
    assert stored.pop("record_digest")
    assert stored == found
    assert found["measured"]


def test_other_media_are_not_measured_and_say_so(tmp_path: Path) -> None:
    report = gl.Workspace(tmp_path).model("icons").bias().to_json()
    assert not report["measured"]
    assert report["likelihood"] == {}
    assert report["limits"]


def test_too_many_continuations_are_refused(workspace: gl.Workspace) -> None:
    with pytest.raises(GenloomError) as caught:
        workspace.model("tales").bias(continuations=101)
    assert caught.value.code == "trust.bad_continuations"
