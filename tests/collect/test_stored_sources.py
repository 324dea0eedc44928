"""Sources in a bucket become the data set that they become in a folder, also on a cluster and into a bucket."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from genloom.collect import collect, parts
from genloom.collect.builtin import load_shakespeare
from genloom.collect.options import Report
from genloom.store import mirror
from genloom.store.storage import open_storage
from genloom.store.workspace import Workspace
from tests.collect.test_parts import OneProcess
from tests.errors import raises_code


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a bucket in the memory of this process, whose machines have the cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield f"memory://{secrets.token_hex(8)}"
    mirror._mirrors.clear()


@pytest.fixture
def folder(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of all kinds, which is in the bucket too."""
    play, folder = load_shakespeare(), tmp_path / "crawl"
    licence = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and"
    rows = [{"text": play[n * 700 : (n + 1) * 700], "year": n} for n in range(20)]
    files = {
        "b/two.txt": play[:9000],
        "a.txt": play[9000:20_000],
        "z.txt": play[9000:20_000],
        "b/LICENSE": licence,
        "b/c/deep.txt": play[30_000:36_000],
        "b-minus.txt": play[40_000:43_000],
        "rows.jsonl": "\n".join(map(json.dumps, rows)),
        "empty.txt": "",
        ".hidden/secret.txt": "hidden",
        "node_modules/x.txt": "of a program",
        "old.doc": "cannot be read",
    }
    filesystem = fsspec.filesystem("memory")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        filesystem.pipe_file(f"{bucket}/crawl/{name}", text.encode())
    monkeypatch.setattr(parts, "PART_FILES", 2)
    return folder


def run(source: str | Path, workspace: Workspace, cluster: OneProcess | None = None) -> Report:
    *_, last = collect([source], workspace, "crawl", {"keep": ("year",)}, cluster=cluster)
    assert last.report is not None
    return last.report


def test_a_bucket_makes_the_data_set_of_a_folder(bucket: str, folder: Path, tmp_path: Path) -> None:
    expected = run(folder, Workspace(tmp_path / "folder"))
    assert 0 < expected.licences["MIT"] < expected.documents_kept
    assert expected.drop_counts["exact copy"] > 0
    for name, cluster in (("here", None), ("cluster", OneProcess(2))):
        found = run(f"{bucket}/crawl/", Workspace(tmp_path / name), cluster)
        assert found.digest == expected.digest
        assert found.to_dict() == expected.to_dict()


def test_a_single_object_is_a_source(bucket: str, folder: Path, tmp_path: Path) -> None:
    expected = run(folder / "rows.jsonl", Workspace(tmp_path / "folder"))
    assert run(f"{bucket}/crawl/rows.jsonl", Workspace(tmp_path / "here")).digest == expected.digest


def test_parts_of_a_workspace_in_a_bucket_are_kept_there_until_it_is_whole(
    bucket: str, folder: Path, tmp_path: Path
) -> None:
    expected = run(folder, Workspace(tmp_path / "folder"))
    workspace, broken = Workspace.from_option(f"{bucket}/workspace"), OneProcess(2)
    broken.failing = frozenset([2])
    with pytest.raises(OSError, match="the head was stopped"):
        run(f"{bucket}/crawl", workspace, broken)
    storage = open_storage(f"{bucket}/workspace")
    kept = storage.list_objects("collecting/")
    assert len([key for key in kept if key.endswith(".json")]) == 2
    assert run(f"{bucket}/crawl", workspace, OneProcess(2)).digest == expected.digest
    assert not storage.list_objects("collecting/")
    assert any(key.endswith("/manifest.json") for key in storage.list_objects("data/crawl/"))


def test_sources_that_cannot_be_read_from_a_bucket_are_named(bucket: str, folder: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    with raises_code("collect.no_such_source", source=f"{bucket}/nothing"):
        run(f"{bucket}/nothing", workspace)
    fsspec.filesystem("memory").pipe_file(f"{bucket}/pictures/cat.png", b"\x89PNG")
    with raises_code("collect.stored_medium"):
        run(f"{bucket}/pictures", workspace)

    class Late(OneProcess):
        def map_tasks(self, *arguments, **named):
            fsspec.filesystem("memory").pipe_file(f"{bucket}/crawl/a.txt", b"shorter")
            return super().map_tasks(*arguments, **named)

    with raises_code("collect.source_changed", source=f"{bucket}/crawl/a.txt"):
        run(f"{bucket}/crawl", workspace, Late(2))
