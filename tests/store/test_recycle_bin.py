"""The bin: what was removed can be restored until the bin is emptied, and a death at any moment loses nothing."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from genloom.store import recycle_bin
from genloom.store.workspace import Workspace
from tests.errors import raises_code


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "home")
    for version in (1, 2, 3):
        with workspace.create_model("notes") as folder:
            (folder / "weights.safetensors").write_bytes(b"w" * 100 * version)
            (folder / "card.json").write_text("{}")
    return workspace


def list_refs(workspace: Workspace) -> list[str]:
    return [model.ref for model in workspace.list_models()]


def find_files(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and "bin" not in path.relative_to(root).parts[:1])
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def save_and_find_paths(workspace: Workspace) -> list[Path]:
    output = workspace.save_output("text", ".txt", {"model": "notes/1"})
    folder = workspace.root / "outputs" / output[:10]
    return [folder / f"{output}.json", folder / f"{output}.txt"]


def test_the_second_of_two_removals_at_once_makes_no_empty_entry(workspace: Workspace) -> None:
    """Else that would be restored, as the newest of this name, in place of the first."""
    before, paths = find_files(workspace.root), [workspace.root / "models/notes"]
    recycle_bin.move_to_bin(workspace.root, "models", "notes", paths)
    with raises_code("store.removed_meanwhile", name="notes"):
        recycle_bin.move_to_bin(workspace.root, "models", "notes", paths)
    recycle_bin.restore_entry(workspace.root, "notes")
    assert find_files(workspace.root) == before


def test_a_version_is_removed_restored_and_deleted(workspace: Workspace) -> None:
    before = find_files(workspace.root)
    entry = recycle_bin.move_to_bin(workspace.root, "models", "notes/2", [workspace.root / "models" / "notes" / "2"])
    assert list_refs(workspace) == ["notes/1", "notes/3"]
    assert entry.bytes > 200
    assert recycle_bin.restore_entry(workspace.root, "notes/2").id == entry.id
    assert find_files(workspace.root) == before
    assert recycle_bin.list_entries(workspace.root) == []
    recycle_bin.move_to_bin(workspace.root, "models", "notes/2", [workspace.root / "models" / "notes" / "2"])
    assert recycle_bin.empty_bin(workspace.root) == entry.bytes
    assert recycle_bin.list_entries(workspace.root) == []
    assert recycle_bin.count_bytes(workspace.root / "bin") < 1000
    with raises_code("store.nothing_known"):
        recycle_bin.restore_entry(workspace.root, "notes/2")


def test_the_name_of_something_in_the_bin_is_told_until_the_bin_is_emptied(workspace: Workspace) -> None:
    output, models = workspace.save_output("text", ".txt", {"model": "notes/1"}), workspace.root / "models"
    paths = [workspace.root / "outputs" / output[:10] / f"{output}{suffix}" for suffix in (".json", ".txt")]
    recycle_bin.move_to_bin(workspace.root, "outputs", output, paths)
    with raises_code("store.in_bin", name=output, entry=output):
        workspace.get_output(output)
    with raises_code("store.nothing_known"):
        workspace.get_run(output)
    recycle_bin.move_to_bin(workspace.root, "models", "notes/2", [models / "notes" / "2"])
    with raises_code("store.in_bin", entry="notes/2"):
        workspace.get_model("notes/2")
    with raises_code("store.no_such_version"):
        workspace.get_model("notes/9")
    recycle_bin.move_to_bin(workspace.root, "models", "notes", [models / "notes"])
    with raises_code("store.in_bin", entry="notes"):
        workspace.get_model("notes")
    recycle_bin.empty_bin(workspace.root)
    with raises_code("store.unknown_name_near"):  # the built-in model "tunes"
        workspace.get_model("notes")


def test_a_damaged_entry_is_a_fault_of_the_workspace(workspace: Workspace) -> None:
    entry = recycle_bin.move_to_bin(workspace.root, "models", "notes", [workspace.root / "models" / "notes"])
    assert workspace.list_faults() == []
    (workspace.root / "bin" / entry.id / "entry.json").write_text("{")
    (fault,) = workspace.list_faults()
    assert entry.id in fault
    assert workspace.list_faults("bin") == [fault]
    assert workspace.list_faults("models") == [], "what is asked for is whole"


def test_a_later_version_never_gets_the_number_of_a_removed_one(workspace: Workspace) -> None:
    """Ratings and promotions in the ledger are about numbers."""
    recycle_bin.move_to_bin(workspace.root, "models", "notes", [workspace.root / "models" / "notes"])
    recycle_bin.empty_bin(workspace.root)
    staged = workspace.create_model("notes")
    with staged as folder:
        (folder / "card.json").write_text("{}")
    assert staged.result.ref == "notes/4"


def test_nothing_is_restored_over_what_is_there(workspace: Workspace) -> None:
    entry = recycle_bin.move_to_bin(workspace.root, "models", "notes", [workspace.root / "models" / "notes"])
    (workspace.root / "models" / "notes").mkdir()
    with raises_code("store.restore_blocked", id=entry.id):
        recycle_bin.restore_entry(workspace.root, "notes")
    (workspace.root / "models" / "notes").rmdir()
    recycle_bin.restore_entry(workspace.root, "notes")
    assert list_refs(workspace) == ["notes/1", "notes/2", "notes/3"]


def test_things_with_one_name_are_told_apart_by_their_ids(workspace: Workspace) -> None:
    for kind in ("models", "data"):
        (workspace.root / kind / "x").mkdir(parents=True)
        entry = recycle_bin.move_to_bin(workspace.root, kind, "x", [workspace.root / kind / "x"])
    with raises_code("store.ambiguous_in_bin"):
        recycle_bin.restore_entry(workspace.root, "x")
    assert recycle_bin.restore_entry(workspace.root, entry.id).kind == "data"


class Death(BaseException):
    """The process ends here."""


def die_at_each_call(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[int]:
    """Yield the number of the call of `os.name` before which the process dies, until there are no more calls."""
    original = getattr(os, name)
    for fatal in count():
        calls = count()

        def die(*arguments: object, fatal: int = fatal, calls: Iterator[int] = calls, **options: object) -> object:
            if next(calls) == fatal:
                raise Death
            return original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, die)
            yield fatal
        if next(calls) <= fatal:
            return


@pytest.mark.parametrize("call", ["rename", "fsync", "replace"])
def test_a_death_at_any_moment_leaves_the_thing_in_its_place_or_in_the_bin(
    workspace: Workspace, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = save_and_find_paths(workspace)
    before = find_files(workspace.root)
    output = paths[0].stem
    for _ in die_at_each_call(monkeypatch, call):
        with suppress(Death):
            recycle_bin.move_to_bin(workspace.root, "outputs", output, paths)
        in_bin = [entry.name for entry in recycle_bin.list_entries(workspace.root)]
        assert [*workspace.list_outputs(), *in_bin] == [output]
        if in_bin:
            with suppress(Death):
                recycle_bin.restore_entry(workspace.root, output)
        monkeypatch.undo()
        in_bin = [entry.name for entry in recycle_bin.list_entries(workspace.root)]
        assert [*workspace.list_outputs(), *in_bin] == [output]
        if in_bin:
            recycle_bin.restore_entry(workspace.root, output)
        assert find_files(workspace.root) == before
        assert workspace.list_faults() == []


def test_emptying_is_completed_after_a_death(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    recycle_bin.move_to_bin(workspace.root, "models", "notes", [workspace.root / "models" / "notes"])
    for _ in die_at_each_call(monkeypatch, "unlink"):
        with suppress(Death):
            recycle_bin.empty_bin(workspace.root)
    recycle_bin.empty_bin(workspace.root)
    assert recycle_bin.list_entries(workspace.root) == []
    assert recycle_bin.count_bytes(workspace.root / "bin") < 1000
