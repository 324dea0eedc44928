"""A workspace on a storage of objects: two machines see the same, one of two writers is told, a kill loses nothing."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from genloom.errors import GenloomError
from genloom.store import mirror, recycle_bin
from genloom.store.conversation import Conversation
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.mirror import is_shared
from genloom.store.storage import ObjectStorage
from genloom.store.workspace import Workspace
from tests.errors import raises_code
from tests.store.test_workspace import fill_model, make_data

LARGE = bytes(range(256)) * 5000


class Killed(BaseException):
    """The process dies."""


@dataclass
class Killer:
    """A storage that dies after some writing operations."""

    storage: ObjectStorage
    operations: int
    _done: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.storage, name)
        if name not in ("write", "copy", "remove"):
            return found

        def call(*arguments: Any) -> Any:
            if len(self._done) >= self.operations:
                raise Killed
            result = found(*arguments)
            self._done.append(name)
            return result

        return call


@pytest.fixture
def url() -> Iterator[str]:
    """The address of an empty workspace in the memory of this process."""
    yield f"memory://{secrets.token_hex(8)}/workspace"
    mirror._mirrors.clear()


@pytest.fixture
def open_on(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Workspace]:
    """A function that opens the workspace on a machine with this name, which has a cache of its own."""

    def open_workspace(machine: str) -> Workspace:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        return Workspace.from_option(url)

    return open_workspace


def make_model(workspace: Workspace, weights: bytes = b"weights") -> str:
    staged = workspace.create_model("notes")
    with staged as folder:
        fill_model(folder, weights)
    return staged.result.ref


def kill_after(workspace: Workspace, operations: int) -> None:
    own = mirror._mirrors[workspace.root]
    mirror._mirrors[workspace.root] = mirror.Mirror(Killer(own.storage, operations), own.folder)  # ty: ignore[invalid-argument-type]


def test_what_one_machine_wrote_the_other_reads(open_on: Callable[[str], Workspace]) -> None:
    here = open_on("here")
    data = make_data(here, "letters", ["a", "b", "c", "d"])
    assert make_model(here) == "notes/1"
    output = here.save_output("On the sea", ".txt", {"model": "notes/1"})
    run = here.create_run("notes")
    chat = here.save_conversation(Conversation(title="notes"))
    there = open_on("there")
    assert there.root != here.root
    assert there.get_dataset("letters").digest == data.digest
    assert [item.value for item in there.get_dataset("letters").iter_documents("train")] == ["a", "b"]
    there.get_model("notes").verify()
    assert there.get_output(output)[0].read_text() == "On the sea"
    assert there.get_newest_output() == output
    assert there.get_run("notes").id == run.name
    assert there.get_conversation(chat.id).id == chat.id
    assert there.list_faults() == []


def test_large_files_come_when_they_are_used(open_on: Callable[[str], Workspace]) -> None:
    make_model(open_on("here"), LARGE)
    model = open_on("there").list_models()[0]
    model.verify_sizes()
    assert not (model.folder / "weights.safetensors").exists()
    assert model.weights[0].read_bytes() == LARGE
    model.weights[0].unlink()
    model.verify()
    assert model.weights[0].read_bytes() == LARGE


def test_two_machines_never_share_a_version(open_on: Callable[[str], Workspace]) -> None:
    here, there = open_on("here"), open_on("there")
    assert [make_model(here, b"1"), make_model(there, b"2"), make_model(here, b"3")] == [
        "notes/1",
        "notes/2",
        "notes/3",
    ]
    assert [model.weights[0].read_bytes() for model in open_on("third").list_models()] == [b"1", b"2", b"3"]


def test_equal_data_of_two_machines_are_one_version(open_on: Callable[[str], Workspace]) -> None:
    here, there = open_on("here"), open_on("there")
    assert make_data(here, "letters", ["a", "b"]).digest == make_data(there, "letters", ["a", "b"]).digest
    other = make_data(there, "letters", ["c", "d"])
    assert open_on("third").get_dataset("letters").digest == other.digest


def test_a_change_of_another_machine_is_not_overwritten(open_on: Callable[[str], Workspace]) -> None:
    here = open_on("here")
    chat = here.save_conversation(Conversation(title="notes"))
    there = open_on("there")
    there.save_conversation(there.get_conversation(chat.id))
    with raises_code("store.changed_elsewhere"):
        here.save_conversation(chat)
    again = open_on("here")
    again.save_conversation(again.get_conversation(chat.id))


def test_what_one_machine_removed_is_gone_and_can_be_restored_on_the_other(
    open_on: Callable[[str], Workspace],
) -> None:
    here = open_on("here")
    make_model(here, LARGE)
    recycle_bin.move_to_bin(here.root, "models", "notes", [here.root / "models" / "notes"])
    there = open_on("there")
    assert there.list_models() == []
    assert recycle_bin.restore_entry(there.root, "notes").name == "notes"
    open_on("here").get_model("notes").verify()
    assert open_on("here").get_model("notes").weights[0].read_bytes() == LARGE


@pytest.mark.parametrize("kind", ["data", "models", "outputs", "bin"])
def test_a_kill_at_any_moment_leaves_nothing_or_the_whole(kind: str, open_on: Callable[[str], Workspace]) -> None:
    def work(workspace: Workspace) -> None:
        if kind == "data":
            make_data(workspace, "letters", ["a", "b", "c", "d"])
        elif kind == "models":
            make_model(workspace)
        elif kind == "outputs":
            workspace.save_output("On the sea", ".txt", {})
        else:
            recycle_bin.move_to_bin(workspace.root, "models", "notes", [workspace.root / "models" / "notes"])

    if kind == "bin":
        make_model(open_on("first"))
    for operations in range(20):
        workspace = open_on("here")
        kill_after(workspace, operations)
        try:
            work(workspace)
        except Killed:
            mirror._mirrors.clear()
            seen = open_on("there")
            assert seen.list_faults() == [], operations
            mirror._mirrors.clear()
            continue
        break
    else:
        pytest.fail("it never ends")
    mirror._mirrors.clear()
    seen = open_on("there")
    assert seen.list_faults() == []
    assert (len(seen.list_datasets()), len(seen.list_models()), len(seen.list_outputs())) == {
        "data": (1, 0, 0),
        "models": (0, 1, 0),
        "outputs": (0, 0, 1),
        "bin": (0, 0, 0),
    }[kind]


def open_both(open_on: Callable[[str], Workspace]) -> tuple[Ledger, Ledger]:
    return open_ledger(open_on("here").root), open_ledger(open_on("there").root)


def test_the_ledgers_of_two_machines_are_one_chain(open_on: Callable[[str], Workspace]) -> None:
    here, there = open_both(open_on)
    for number in range(3):
        here.append("rating", {"number": number})
        there.append("rating", {"number": -number})
    assert there.append("rating", {"number": 7}, id="same") == here.append("rating", {"number": 7}, id="same")
    events = list(here.iter_events())
    assert [event.seq for event in events] == list(range(1, 8))
    assert events == list(there.iter_events())
    third = open_ledger(open_on("third").root)
    third.verify()
    assert list(third.iter_events()) == events


def test_an_event_that_was_not_acknowledged_is_written_once(
    open_on: Callable[[str], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = open_both(open_on)
    here.append("rating", {"number": 1})
    assert here.database.objects is not None
    kept = type(here.database.objects).append

    def append_and_die(objects: Any, rows: Any) -> None:
        kept(objects, rows)
        raise Killed

    monkeypatch.setattr(type(here.database.objects), "append", append_and_die)
    with pytest.raises(Killed):
        here.append("rating", {"number": 2}, id="second")
    monkeypatch.undo()
    assert here.append("rating", {"number": 2}, id="second").seq == 2
    there.verify()
    assert [event.body["number"] for event in there.iter_events()] == [1, 2]


def test_a_damaged_event_in_the_storage_is_named(open_on: Callable[[str], Workspace]) -> None:
    here, there = open_both(open_on)
    here.append("rating", {"number": 1})
    assert there.database.objects is not None
    storage = there.database.objects.storage
    key = next(iter(storage.list_objects("ledger/")))
    storage.write(key, storage.read(key).replace(b"number", b"numbat"))
    with raises_code("store.entry_changed"):
        there.verify()
    storage.write(key, b"{}\n")
    with raises_code("store.storage_event"):
        open_ledger(open_on("third").root).verify()


def test_a_process_that_gets_the_folder_writes_to_the_storage(open_on: Callable[[str], Workspace]) -> None:
    here = open_on("here")
    mirror._mirrors.clear()
    make_model(Workspace.from_option(str(here.root)))
    assert len(open_on("there").list_models()) == 1


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("models/notes/1/card.json", True),
        ("keys/marking/2026.key", True),
        ("runs/2026-12-01-abc123/job.toml", True),
        ("runs/2026-12-01-abc123/codec/tokenizer.json", True),
        ("runs/2026-12-01-abc123/state/000000100.safetensors", True),
        ("runs/2026-12-01-abc123/state/000000100.shards/shard-00001.safetensors", True),
        ("runs/2026-12-01-abc123/state/.000000100.shards.draft/shard-00001.safetensors", False),
        ("runs/2026-12-01-abc123/ids.npy", False),
        ("outputs/2026-12-01/2026-12-01-abc123.reserved", False),
        ("models/notes/.a1b2.draft/card.json", False),
        ("ledger.sqlite", False),
        ("studio.sqlite-journal", False),
        ("cache/outputs.sqlite", False),
    ],
)
def test_some_files_stay_on_their_machine(key: str, expected: bool) -> None:
    assert is_shared(key) is expected


def test_an_address_that_nothing_reads_is_named() -> None:
    with pytest.raises(GenloomError, match="nosuch://") as raised:
        Workspace.from_option("nosuch://bucket/workspace")
    assert raised.value.code == "store.storage_scheme"
