"""A model's name means the version that was promoted, whatever happens between the ledger and the file."""

import json
from pathlib import Path

import pytest

from genloom.rate.promotion import pin_active_version, promote, rollback, sync_active_version
from genloom.store import built_in
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with four versions of the model `notes`."""
    made = Workspace(tmp_path / "workspace")
    for version in range(4):
        with made.create_model("notes") as folder:
            (folder / "weights.safetensors").write_bytes(bytes([version]))
            (folder / "card.json").write_text("{}")
    return made


@pytest.fixture
def ledger(workspace: Workspace) -> Ledger:
    return open_ledger(workspace.root)


def in_use(workspace: Workspace) -> int:
    return workspace.get_model("notes").version


def test_without_a_promotion_the_newest_is_in_use(workspace: Workspace, ledger: Ledger) -> None:
    assert in_use(workspace) == 4
    assert sync_active_version(workspace, ledger, "notes") is None


def test_what_was_promoted_is_in_use_and_the_ledger_says_why(workspace: Workspace, ledger: Ledger) -> None:
    promote(workspace, ledger, "notes", 2, "person", "I like it")
    assert in_use(workspace) == 2
    event = promote(workspace, ledger, "notes", 3, "gate", "won 31 of 40", receipt="abc")
    assert in_use(workspace) == 3
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


def test_rollbacks_go_back_through_what_was_in_use(workspace: Workspace, ledger: Ledger) -> None:
    for version in (1, 2, 3):
        promote(workspace, ledger, "notes", version, "person")
    for expected in (2, 1):
        event = rollback(workspace, ledger, "notes", reason="worse")
        assert in_use(workspace) == event.body["version"] == expected
    with pytest.raises(ValueError, match=r"was promoted before notes/1.*genloom promote notes --to N"):
        rollback(workspace, ledger, "notes")
    promote(workspace, ledger, "notes", 4, "person")
    rollback(workspace, ledger, "notes")
    assert in_use(workspace) == 1, "what was rolled back is not gone back to"
    ledger.verify()


def test_a_challenger_does_not_take_the_place_of_who_is_held(workspace: Workspace, ledger: Ledger) -> None:
    assert pin_active_version(workspace, ledger, "notes").version == 4
    with workspace.create_model("notes") as folder:
        (folder / "card.json").write_text("{}")
    assert in_use(workspace) == 4
    assert pin_active_version(workspace, ledger, "notes").version == 4
    assert len(list(ledger.iter_events())) == 1, "held once"
    promote(workspace, ledger, "notes", 5, "gate")
    rollback(workspace, ledger, "notes")
    assert in_use(workspace) == 4


def test_a_command_killed_after_the_ledger_and_before_the_file_is_made_good(
    workspace: Workspace, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path, version: int, event: str) -> None:
        if version == 2:
            raise KeyboardInterrupt

    promote(workspace, ledger, "notes", 1, "person")
    with monkeypatch.context() as patch:
        patch.setattr("genloom.store.active_version.write_active_version", killed)
        with pytest.raises(KeyboardInterrupt):
            promote(workspace, ledger, "notes", 2, "person")
    assert in_use(workspace) == 1
    with pytest.raises(ValueError, match=r"notes/2 is in use already"):
        promote(workspace, ledger, "notes", 2, "person")
    assert in_use(workspace) == 2


def test_promotions_that_cannot_be(workspace: Workspace, ledger: Ledger) -> None:
    with pytest.raises(ValueError, match=r"no version 9 of 'notes'\. There is 1, 2, 3, 4"):
        promote(workspace, ledger, "notes", 9, "person")
    with pytest.raises(ValueError, match=r"no model 'nots'. Did you mean 'notes'"):
        promote(workspace, ledger, "nots", 1, "person")
    with pytest.raises(ValueError, match=r"no model 'nots'. Did you mean 'notes'"):
        rollback(workspace, ledger, "nots")
    (workspace.root / "models/notes/2/weights.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match="is damaged"):
        promote(workspace, ledger, "notes", 2, "person")
    assert list(ledger.iter_events()) == []


def test_a_champion_that_is_gone_or_damaged_is_told_with_the_cure(workspace: Workspace, ledger: Ledger) -> None:
    promote(workspace, ledger, "notes", 2, "person")
    promote(workspace, ledger, "notes", 3, "person")
    (workspace.root / "models/notes/3/card.json").unlink()
    with pytest.raises(ValueError, match=r"no version 3 of 'notes'.*genloom promote notes --to N"):
        workspace.get_model("notes")
    assert [fault for fault in workspace.list_faults() if "genloom promote notes --to N" in fault]
    assert [model.name for model in workspace.list_active_models()] == built_in.list_names()
    rollback(workspace, ledger, "notes")
    assert [model.ref for model in workspace.list_active_models() if model.name == "notes"] == ["notes/2"]
    (workspace.root / "models/notes/champion.json").write_text(json.dumps({"version": "x"}))
    with pytest.raises(ValueError, match=r"it names no version. Promote one: genloom promote notes --to N"):
        workspace.get_model("notes")
    promote(workspace, ledger, "notes", 1, "person")
    assert in_use(workspace) == 1
