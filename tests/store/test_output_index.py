"""Outputs are found by the digests of their files, whatever happened since the index was made."""

import hashlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from genloom.store import output_index
from genloom.store.pruning import prune_folder
from genloom.store.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def add(ws: Workspace, text: str) -> str:
    return ws.save_output(text, ".txt", {"medium": "text", "model": "tales/1"})


def find(ws: Workspace, text: str) -> str:
    return ws.find_output(hashlib.sha256(text.encode()).hexdigest())


def test_a_workspace_without_outputs_has_none(ws: Workspace) -> None:
    assert find(ws, "a") == ""


def test_outputs_are_found_at_once_and_the_newest_first(ws: Workspace) -> None:
    first = add(ws, "a")
    assert find(ws, "a") == first
    other, second = add(ws, "b"), add(ws, "a")
    assert (find(ws, "a"), find(ws, "b"), find(ws, "c")) == (second, other, "")


def test_a_removed_output_is_not_found_until_it_is_restored(ws: Workspace) -> None:
    output = add(ws, "a")
    path, _ = ws.get_output(output)
    record = path.with_name(f"{output}.json")
    assert find(ws, "a") == output
    hidden = record.rename(ws.root / "hidden")
    assert find(ws, "a") == ""
    hidden.rename(record)
    assert find(ws, "a") == output
    shutil.rmtree(path.parent)
    assert find(ws, "a") == ""


def test_only_new_records_are_read(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        add(ws, str(n))
    find(ws, "0")
    read: list[Path] = []
    original = output_index._read_digest
    monkeypatch.setattr(output_index, "_read_digest", lambda path: read.append(path) or original(path))
    output = add(ws, "new")
    assert find(ws, "new") == output
    assert [path.stem for path in read] == [output]


def test_a_settled_day_is_not_looked_at_again(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    output = add(ws, "a")
    day = ws.get_output(output)[0].parent
    os.utime(day, ns=(1, 1_000_000_000))
    assert find(ws, "a") == output
    monkeypatch.setattr(output_index, "_update_day", lambda *arguments: pytest.fail("the day has not changed"))
    assert find(ws, "a") == output


def test_a_changed_record_is_read_again(ws: Workspace) -> None:
    output = add(ws, "a")
    record = ws.get_output(output)[0].with_name(f"{output}.json")
    find(ws, "a")
    record.write_text(record.read_text().replace(hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"zz").hexdigest()))
    assert (find(ws, "a"), find(ws, "zz")) == ("", output)


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_index_is_made_again(ws: Workspace, content: bytes) -> None:
    output = add(ws, "a")
    find(ws, "a")
    (ws.root / "cache" / output_index.INDEX_FILE).write_bytes(content)
    assert find(ws, "a") == output


def test_an_index_that_is_locked_does_not_stop_anyone(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    output = add(ws, "a")
    monkeypatch.setattr(output_index.sqlite3, "connect", lambda path, **options: _connect_memory_only(path))
    assert find(ws, "a") == output


_original_connect = sqlite3.connect


def _connect_memory_only(path: object) -> sqlite3.Connection:
    if path != ":memory:":
        raise sqlite3.OperationalError("unable to open database file")
    return _original_connect(":memory:")


def test_pruning_removes_what_was_used_longest_ago(tmp_path: Path) -> None:
    for n in range(10):
        path = tmp_path / "day" / f"{n}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (n, n))
    assert prune_folder(tmp_path, 1000) == 0
    assert prune_folder(tmp_path, 500) == 600
    assert sorted(path.stem for path in tmp_path.rglob("*.png")) == ["6", "7", "8", "9"]


def test_pruning_keeps_files_in_use(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(100))
    assert prune_folder(tmp_path, 10) == 0
    assert (tmp_path / "a.png").is_file()
