"""`genloom privacy`: what a person learns of what a model reveals, from training to the report."""

import json
from pathlib import Path

import pytest

import genloom as gl
from genloom.cli import run
from genloom.evaluate.training_sources import find_training_sources
from genloom.trust.canaries import add_canaries
from tests import worlds
from tests.errors import raises_code

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a model that has seen a little of nine documents and three canaries."""
    ws = gl.Workspace(tmp_path_factory.mktemp("privacy"))
    data = worlds.create_dataset(ws.store, documents=15)
    worlds.finish_run(ws.store, worlds.build_job(add_canaries(ws.store, data, 3), 2))
    return ws.folder


def test_training_with_canaries_makes_data_of_their_own(tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path)
    worlds.create_dataset(ws.store, documents=15)
    events = ws.iter_train("tales", steps=1, canaries=4, seed=2)
    next(events)
    events.close()
    assert ws.store.get_dataset("tales-canaries").manifest["canaries"]["count"] == 4
    assert "canaries" not in ws.store.get_dataset("tales").manifest
    with raises_code("api.resume_with_plan"):
        list(ws.iter_train("tales", resume=True, canaries=4))


def test_the_report_has_every_measure(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(folder))
    ws = gl.Workspace(folder)
    model = ws.model("tales-canaries")
    ws.store.save_output(b"Write to mia@example.org", ".txt", {
        "model": model.ref, "medium": "text", "written": "Write to mia@example.org",
    })  # fmt: skip
    capsys.readouterr()
    code = run(["privacy", "tales-canaries", "--documents", "10", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert code == (1 if result["leaking"] else 0)
    membership = result["membership"]
    assert membership["num_train"] == 9  # the canaries are not among them
    assert membership["auc"]["low"] <= membership["auc"]["mean"] <= membership["auc"]["high"]
    assert len(result["exposure"]["exposures"]) == 3
    assert result["extraction"]["train"]["count"] == 9
    assert result["personal_data"]["counts"] == {"email": 1}
    assert result["calibrated"] is None
    assert {path.name for path in Path(result["folder"]).iterdir()} == {"privacy.json", "privacy.html"}
    assert find_training_sources(ws.store, model).datasets[0].manifest["canaries"]["count"] == 3


def test_a_model_without_its_data_is_refused(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    worlds.create_blots(gl.Workspace(tmp_path).store)
    assert run(["privacy", "blots"]) == 2
    assert "[api.privacy_without_data]" in capsys.readouterr().err


def test_pictures_have_a_membership(tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path)
    worlds.finish_run(ws.store, worlds.build_image_job(worlds.create_image_dataset(ws.store), 2))
    report = ws.model("tiles").privacy(documents=8)
    assert report.membership is not None
    assert (report.membership.num_train, report.membership.num_held_out) == (8, 8)
    assert report.extraction is report.exposure is report.personal_data is None
    assert len(report.notes) == 3


def test_outputs_that_copy_are_withheld(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(folder))
    model = gl.Workspace(folder).model("tales-canaries")
    before = len(model.workspace.outputs)
    outputs = model.generate(n=4, seed=1, max_tokens=60, temperature=0.5, refuse_copies=True)
    assert len(outputs) + outputs.num_withheld == 4
    assert len(model.workspace.outputs) == before + len(outputs)
    assert not any(output.copies().is_beyond_chance for output in outputs)
    monkeypatch.setattr("genloom.api.copies.find_copied_rows", lambda data, values: {0, 2})
    arguments = ["generate", "tales-canaries", "--max-tokens", "5", "--refuse-copies", "--json"]
    capsys.readouterr()
    assert run([*arguments, "--count", "4"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["withheld"], len(result["outputs"])) == (2, 2)
    assert run([*arguments, "--count", "1"]) == 2
    assert "[cli.all_withheld]" in capsys.readouterr().err


def test_copies_of_unknown_data_cannot_be_refused(tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path)
    worlds.create_blots(ws.store)
    with raises_code("api.copies_without_data", model="blots/1"):
        ws.model("blots").generate(refuse_copies=True)
