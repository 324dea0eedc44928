"""Models that come with the package: opened by name, never written to, followed by the workspace's own versions."""

import json
import re
from pathlib import Path

import pytest

from genloom.cli import run
from genloom.rate.promotion import pin_active_version, promote, rollback
from genloom.store import built_in
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty one, beside a package with the model icons/1."""
    monkeypatch.setattr(built_in, "FOLDER", tmp_path / "builtin")
    with built_in.create_model("icons") as folder:
        filled(folder, "of the package")
    return Workspace(tmp_path / "workspace")


def filled(folder: Path, weights: str) -> None:
    (folder / "weights.safetensors").write_text(weights)
    (folder / "job.toml").write_text("")
    (folder / "card.json").write_text("{}")


def taught(workspace: Workspace) -> str:
    making = workspace.create_model("icons")
    with making as folder:
        filled(folder, "learned here")
    return making.result.ref


def test_a_built_in_model_is_there_without_a_workspace(workspace: Workspace) -> None:
    model = workspace.get_model("icons")
    model.verify()
    assert (model.ref, model.folder) == ("icons/1", built_in.FOLDER / "icons" / "1")
    assert workspace.get_model("icons/1").digest == model.digest
    assert workspace.list_models() == []
    assert [m.ref for m in workspace.list_built_in_models()] == ["icons/1"]
    assert not workspace.root.exists()


def test_versions_made_here_come_after_it(workspace: Workspace) -> None:
    assert taught(workspace) == "icons/2"
    assert workspace.get_model("icons").ref == "icons/2"
    assert workspace.get_model("icons/1").folder.is_relative_to(built_in.FOLDER)
    assert [m.ref for m in workspace.list_models()] == ["icons/2"]
    with pytest.raises(ValueError, match=r"no version 3 of 'icons'. There is 1, 2\."):
        workspace.get_model("icons/3")


def test_a_challenger_of_it_is_promoted_and_rolled_back(workspace: Workspace) -> None:
    ledger = open_ledger(workspace.root)
    assert pin_active_version(workspace, ledger, "icons").ref == "icons/1"
    taught(workspace)
    assert workspace.get_model("icons").ref == "icons/1", "not in use before it is promoted"
    promote(workspace, ledger, "icons", 2, "person")
    assert workspace.get_model("icons").ref == "icons/2"
    rollback(workspace, ledger, "icons")
    assert workspace.get_model("icons").ref == "icons/1"
    assert [path.name for path in (built_in.FOLDER / "icons").iterdir()] == ["1"], "the package stays as it is"


def test_one_made_here_goes_before_one_of_its_number(workspace: Workspace) -> None:
    own = workspace.root / "models" / "icons" / "1"
    taught(workspace)
    (workspace.root / "models" / "icons" / "2").rename(own)
    assert workspace.get_model("icons").folder == own
    assert workspace.list_built_in_models() == []


def test_a_damaged_one_is_named(workspace: Workspace) -> None:
    (built_in.FOLDER / "icons" / "1" / "weights.safetensors").write_text("something else")
    with pytest.raises(ValueError, match=r"weights\.safetensors is damaged"):
        workspace.get_model("icons").verify()


def test_a_misspelt_name_is_answered_with_it(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match=r"There is no model 'icns'\. Did you mean 'icons'"):
        workspace.get_model("icns")


def test_the_list_says_what_is_built_in(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    here = ["--workspace", str(workspace.root)]
    assert run(["list", *here]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"built-in models \(1\)\n +icons/1 .*in use", shown)
    assert "Nothing of your own here yet" in shown
    assert run(["list", "builtin", *here]) == 0
    assert "here yet" not in capsys.readouterr().out
    taught(workspace)
    assert run(["list", "--json", *here]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [(row["model"], row["in_use"]) for row in facts["builtin"]] == [("icons/1", False)]
    assert [(row["model"], row["in_use"]) for row in facts["models"]] == [("icons/2", True)]
