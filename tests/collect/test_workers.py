"""A file that crashes the process reading it is skipped with a note, and the others are collected."""

import os
from pathlib import Path

import pytest

from genloom.collect import Options, collect, workers
from genloom.collect.pipeline import PreparedBatch, PrepareJob, prepare_documents
from genloom.store.workspace import Workspace


def crashing(job: PrepareJob) -> PreparedBatch:
    """Stand in for a library that crashes on a hostile file."""
    if any(file.path.name == "deadly.txt" for file in job.files):
        os._exit(139)
    return prepare_documents(job)


def test_a_crash_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in ("a", "b", "deadly", "z"):
        (folder / f"{name}.txt").write_text(f"The story of {name}, as it was told by {name} on a winter's night.")
    monkeypatch.setattr(workers, "prepare_documents", crashing)
    *_, last = collect([folder], Workspace(tmp_path / "w"), "notes", Options(workers=2))
    assert last.report is not None
    assert last.report.documents_kept == 3
    assert [(note.source, note.is_skipped) for note in last.report.notes] == [("notes/deadly.txt", True)]
    assert last.report.notes[0].code == "collect.reader_crashed"


def test_number_of_processes() -> None:
    assert workers.choose_num_workers(3, 0) == 3
    assert workers.choose_num_workers(0, 1000) == 1
    assert 1 <= workers.choose_num_workers(0, 1 << 30) <= (os.cpu_count() or 1)
