"""Models that come with the package: read-only, opened by name, followed by the workspace's own versions."""

import json
from pathlib import Path

import pytest

from genloom.cli import run
from genloom.errors import format_message
from genloom.rate.promotion import pin_active_version, promote_version, roll_back_version
from genloom.store import built_in
from genloom.store.ledger import open_ledger
from genloom.store.manifest import damaged_error
from genloom.store.workspace import Workspace
from tests.errors import raises_code


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace, and a package with the model icons/1."""
    monkeypatch.setattr(built_in, "FOLDER", tmp_path / "builtin")
    with built_in.create_model("icons") as folder:
        fill_model(folder, "of the package")
    return Workspace(tmp_path / "workspace")


def fill_model(folder: Path, weights: str) -> None:
    (folder / "weights.safetensors").write_text(weights)
    (folder / "job.toml").write_text("")
    (folder / "card.json").write_text("{}")


def create_version(workspace: Workspace) -> str:
    staged = workspace.create_model("icons")
    with staged as folder:
        fill_model(folder, "learned here")
    return staged.result.ref


def test_a_built_in_model_is_there_without_a_workspace(workspace: Workspace) -> None:
    model = workspace.get_model("icons")
    model.verify()
    assert (model.ref, model.folder) == ("icons/1", built_in.FOLDER / "icons" / "1")
    assert workspace.get_model("icons/1").digest == model.digest
    assert workspace.list_models() == []
    assert [m.ref for m in workspace.list_built_in_models()] == ["icons/1"]
    assert not workspace.root.exists()


def test_versions_of_the_workspace_come_after_it(workspace: Workspace) -> None:
    assert create_version(workspace) == "icons/2"
    assert workspace.get_model("icons").ref == "icons/2"
    assert workspace.get_model("icons/1").folder.is_relative_to(built_in.FOLDER)
    assert [m.ref for m in workspace.list_models()] == ["icons/2"]
    with raises_code("store.no_such_version", version=3, name="icons", known="1, 2"):
        workspace.get_model("icons/3")


def test_a_challenger_of_it_is_promoted_and_rolled_back(workspace: Workspace) -> None:
    ledger = open_ledger(workspace.root)
    assert pin_active_version(workspace, ledger, "icons").ref == "icons/1"
    create_version(workspace)
    assert workspace.get_model("icons").ref == "icons/1", "not in use before it is promoted"
    promote_version(workspace, ledger, "icons", 2, "person")
    assert workspace.get_model("icons").ref == "icons/2"
    roll_back_version(workspace, ledger, "icons")
    assert workspace.get_model("icons").ref == "icons/1"
    assert [path.name for path in (built_in.FOLDER / "icons").iterdir()] == ["1"], "the package stays as it is"


def test_a_version_of_the_workspace_replaces_the_same_number(workspace: Workspace) -> None:
    own = workspace.root / "models" / "icons" / "1"
    create_version(workspace)
    (workspace.root / "models" / "icons" / "2").rename(own)
    assert workspace.get_model("icons").folder == own
    assert workspace.list_built_in_models() == []


def test_a_damaged_one_is_named(workspace: Workspace) -> None:
    (built_in.FOLDER / "icons" / "1" / "weights.safetensors").write_text("something else")
    with raises_code("store.damaged", path=built_in.FOLDER / "icons" / "1" / "weights.safetensors"):
        workspace.get_model("icons").verify()


def test_the_cure_of_a_damaged_file_of_the_package_is_to_install_it_again() -> None:
    """Neither to remove the model nor to delete its folder."""
    package = Path(built_in.__file__).parents[1]
    error = damaged_error(package / "builtin" / "icons" / "1" / "weights.safetensors", "its content was changed")
    assert error.code == "store.damaged"
    assert error.fields["cure"] == format_message("store.install_again")


def test_a_misspelt_name_suggests_it(workspace: Workspace) -> None:
    with raises_code("store.unknown_name_near", kind="model", nearest="icons"):
        workspace.get_model("icns")


def test_the_list_says_what_is_built_in(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    here = ["--workspace", str(workspace.root)]
    assert run(["list", *here]) == 0
    out = capsys.readouterr().out
    assert "icons/1" in out
    assert run(["list", "builtin", *here]) == 0
    assert "icons/1" in capsys.readouterr().out
    create_version(workspace)
    assert run(["list", "--json", *here]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [(row["model"], row["in_use"]) for row in facts["builtin"]] == [("icons/1", False)]
    assert [(row["model"], row["in_use"]) for row in facts["models"]] == [("icons/2", True)]


def test_a_model_that_was_tuned_from_another_of_its_name_is_not_its_own_parent(workspace: Workspace) -> None:
    """Who follows the parents would never end: the one that is meant is in the workspace that it was made in."""
    path = workspace.get_model("icons/1").folder / "card.json"
    card = json.loads(path.read_text())
    for ref, parent in (("icons/1", ""), ("icons/9", "icons/9")):
        path.write_text(json.dumps({**card, "parents": [{"ref": ref, "digest": "0" * 64}]}))
        assert workspace.get_model("icons/1").parent_ref == parent
