"""A model's name refers to the promoted version, whatever happens between the ledger and the file."""

import json
from pathlib import Path

import pytest

from genloom.rate.promotion import pin_active_version, promote_version, roll_back_version, sync_active_version
from genloom.store import built_in, recycle_bin
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from tests.errors import raises_code


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with four versions of the model `notes`."""
    workspace = Workspace(tmp_path / "workspace")
    for version in range(4):
        with workspace.create_model("notes") as folder:
            (folder / "weights.safetensors").write_bytes(bytes([version]))
            (folder / "card.json").write_text("{}")
    return workspace


@pytest.fixture
def ledger(workspace: Workspace) -> Ledger:
    return open_ledger(workspace.root)


def active_version(workspace: Workspace) -> int:
    return workspace.get_model("notes").version


def test_without_a_promotion_the_newest_version_is_in_use(workspace: Workspace, ledger: Ledger) -> None:
    assert active_version(workspace) == 4
    assert sync_active_version(workspace, ledger, "notes") is None


def test_a_promotion_takes_effect_and_the_ledger_records_the_reason(workspace: Workspace, ledger: Ledger) -> None:
    promote_version(workspace, ledger, "notes", 2, "person", "I like it")
    assert active_version(workspace) == 2
    event = promote_version(workspace, ledger, "notes", 3, "gate", "won 31 of 40", receipt="abc")
    assert active_version(workspace) == 3
    assert event.body == {
        "model": "notes",
        "version": 3,
        "digest": workspace.get_model("notes/3").digest,
        "champion_before": 2,
        "by": "gate",
        "reason": "won 31 of 40",
        "receipt": "abc",
    }
    assert workspace.get_model("notes/1").version == 1, "every version can still be named"


def test_rollbacks_go_back_through_the_versions_that_were_in_use(workspace: Workspace, ledger: Ledger) -> None:
    for version in (1, 2, 3):
        promote_version(workspace, ledger, "notes", version, "person")
    for expected in (2, 1, 4):  # the newest was in use before the first promotion
        event = roll_back_version(workspace, ledger, "notes", reason="worse")
        assert active_version(workspace) == event.body["version"] == expected
    with raises_code("rate.no_earlier_promotion", version="notes/4"):
        roll_back_version(workspace, ledger, "notes")
    promote_version(workspace, ledger, "notes", 3, "person")
    roll_back_version(workspace, ledger, "notes")
    assert active_version(workspace) == 4, "a version that was rolled back is skipped"
    ledger.verify()


def test_a_rollback_skips_versions_that_were_removed(workspace: Workspace, ledger: Ledger) -> None:
    """Also that of the version in use: its predecessor is in use then, and a rollback goes one further back."""
    for version in (1, 2, 3, 4):
        promote_version(workspace, ledger, "notes", version, "person")
    for removed in (4, 2):
        paths = [workspace.root / f"models/notes/{removed}"]
        recycle_bin.move_to_bin(workspace.root, "models", f"notes/{removed}", paths)
    assert sync_active_version(workspace, ledger, "notes") == 3
    assert roll_back_version(workspace, ledger, "notes").body["champion_before"] == 3
    assert active_version(workspace) == 1
    recycle_bin.restore_entry(workspace.root, "notes/2")
    with raises_code("rate.no_earlier_promotion", version="notes/1"):
        roll_back_version(workspace, ledger, "notes")


def test_a_rollback_changes_the_version_where_one_between_two_uses_was_removed(
    workspace: Workspace, ledger: Ledger
) -> None:
    for version in (1, 2, 3, 2):
        promote_version(workspace, ledger, "notes", version, "person")
    recycle_bin.move_to_bin(workspace.root, "models", "notes/3", [workspace.root / "models/notes/3"])
    roll_back_version(workspace, ledger, "notes")
    assert active_version(workspace) == 1


def test_a_new_challenger_does_not_replace_a_pinned_version(workspace: Workspace, ledger: Ledger) -> None:
    assert pin_active_version(workspace, ledger, "notes").version == 4
    with workspace.create_model("notes") as folder:
        (folder / "card.json").write_text("{}")
    assert active_version(workspace) == 4
    assert pin_active_version(workspace, ledger, "notes").version == 4
    assert len(list(ledger.iter_events())) == 1, "pinned once"
    promote_version(workspace, ledger, "notes", 5, "gate")
    roll_back_version(workspace, ledger, "notes")
    assert active_version(workspace) == 4


def test_a_command_killed_between_the_ledger_and_the_file_is_completed_later(
    workspace: Workspace, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(folder: Path, version: int, event: str) -> None:
        if version == 2:
            raise KeyboardInterrupt

    promote_version(workspace, ledger, "notes", 1, "person")
    with monkeypatch.context() as patch:
        patch.setattr("genloom.store.active_version.write_active_version", kill)
        with pytest.raises(KeyboardInterrupt):
            promote_version(workspace, ledger, "notes", 2, "person")
    assert active_version(workspace) == 1
    count = len(list(ledger.iter_events()))
    assert promote_version(workspace, ledger, "notes", 2, "person").body["version"] == 2
    assert active_version(workspace) == 2
    assert len(list(ledger.iter_events())) == count, "repeated, not recorded again"


def test_impossible_promotions_are_refused(workspace: Workspace, ledger: Ledger) -> None:
    with raises_code("store.no_such_version", version=9):
        promote_version(workspace, ledger, "notes", 9, "person")
    with raises_code("store.unknown_name_near", name="nots", nearest="notes"):
        promote_version(workspace, ledger, "nots", 1, "person")
    with raises_code("store.unknown_name_near", name="nots", nearest="notes"):
        roll_back_version(workspace, ledger, "nots")
    (workspace.root / "models/notes/2/weights.safetensors").write_bytes(b"other")
    with raises_code("store.damaged"):
        promote_version(workspace, ledger, "notes", 2, "person")
    assert list(ledger.iter_events()) == []


def test_a_missing_or_damaged_active_version_is_reported_with_the_cure(workspace: Workspace, ledger: Ledger) -> None:
    promote_version(workspace, ledger, "notes", 2, "person")
    promote_version(workspace, ledger, "notes", 3, "person")
    (workspace.root / "models/notes/3/card.json").unlink()
    with raises_code("store.no_such_version", version=3):
        workspace.get_model("notes")
    assert [fault for fault in workspace.list_faults() if "genloom promote notes --to N" in fault]
    assert [model.name for model in workspace.list_active_models()] == built_in.list_names()
    roll_back_version(workspace, ledger, "notes")
    assert [model.ref for model in workspace.list_active_models() if model.name == "notes"] == ["notes/2"]
    (workspace.root / "models/notes/champion.json").write_text(json.dumps({"version": "x"}))
    with raises_code("store.damaged_active_version", name="notes"):
        workspace.get_model("notes")
    promote_version(workspace, ledger, "notes", 1, "person")
    assert active_version(workspace) == 1
