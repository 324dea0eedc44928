"""Files that change while they are collected: each costs a note, and nothing is waited for or read elsewhere."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from genloom.collect.options import Note
from genloom.collect.pipeline import PreparedBatch, PrepareJob, prepare_documents
from genloom.collect.preparation import build_options, get_preparation
from genloom.collect.sources import find_files
from genloom.collect.workers import read_portions

SECRET = "Something private that nobody has asked to collect, in some more words."
CHANGES: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: None,
    "a link": lambda path: path.symlink_to(path.parents[1] / "secret.txt"),
    "a pipe": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "a circle": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_something_else_replaces_is_left_out(change: str, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text(SECRET)
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(f"The text of {name}, which is long enough to be kept as a document.")
    files, notes = find_files([folder], tmp_path / "ws", {})
    readable_files, _ = get_preparation("text").select(files)
    assert [file.path.name for file in readable_files] == ["a.txt", "b.txt"]
    options = get_preparation("text").resolve(build_options("text", {}), readable_files)
    (folder / "b.txt").unlink()
    CHANGES[change](folder / "b.txt")
    batch: PreparedBatch = prepare_documents(PrepareJob("text", options, files=tuple(readable_files)))
    assert [document.source for document in batch.documents] == ["notes/a.txt"]
    assert [note.source for note in batch.notes] == ["notes/b.txt"]
    streamed = [*read_portions(replace(readable_files[1], is_streamed=True), options, "text", None)]
    assert all(isinstance(raw, Note) for portion in streamed for raw in portion)
    assert notes == []
