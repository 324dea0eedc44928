"""A collection in parts, as the machines of a cluster prepare them, equals one of this machine, and continues."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genloom.cluster import Cluster
from genloom.collect import collect, parts
from genloom.collect.builtin import load_shakespeare
from genloom.collect.options import Report
from genloom.store.workspace import Workspace
from tests.errors import raises_code


class OneProcess(Cluster):
    """A cluster whose tasks run here; `failing` are the numbers of those that fail."""

    failing: frozenset[int] = frozenset()
    num_run = 0

    def map_tasks(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], name: str, num_gpus: float = 0
    ) -> Iterator[Any]:
        for number, given in enumerate(arguments):
            if number in self.failing:
                raise OSError("the head was stopped")
            self.num_run += 1
            yield function(*given)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, play = tmp_path / "notes", load_shakespeare()[:120_000]
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.txt").write_text(play[n * 15_000 : (n + 1) * 15_000 + 2_000])
    (folder / "copy.txt").write_text((folder / "2.txt").read_text())
    (folder / "empty.txt").write_text(" \n")
    rows = [{"text": play[n * 900 : (n + 1) * 900], "year": n} for n in range(60)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setattr(parts, "PART_FILES", 2)
    return folder


def run(sources: Path, workspace: Workspace, cluster: Cluster | None = None) -> Report:
    *_, last = collect([sources], workspace, "notes", {"keep": ("year",), "val": 0.2}, cluster=cluster)
    assert last.report is not None
    return last.report


def test_parts_make_the_same_data_set(sources: Path, tmp_path: Path) -> None:
    here, there = Workspace(tmp_path / "here"), Workspace(tmp_path / "there")
    expected, found = run(sources, here), run(sources, there, OneProcess(2))
    assert found.digest == expected.digest
    assert found.to_dict() == expected.to_dict()
    assert found.drop_counts["exact copy"] > 0
    assert list((there.root / "collecting").iterdir()) == []


def test_a_collection_that_ended_early_continues_with_its_parts(sources: Path, tmp_path: Path) -> None:
    workspace, broken, whole = Workspace(tmp_path / "w"), OneProcess(2), OneProcess(2)
    broken.failing = frozenset([3])
    with pytest.raises(OSError, match="the head was stopped"):
        run(sources, workspace, broken)
    assert workspace.list_datasets() == []
    (folder,) = (workspace.root / "collecting").iterdir()
    complete = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.documents")}
    assert len(complete) == 3
    changed: list[str] = []

    class Watching(OneProcess):
        def map_tasks(self, *arguments: Any, **named: Any) -> Iterator[Any]:
            for result in super().map_tasks(*arguments, **named):
                changed.extend(n for n, at in complete.items() if (folder / n).stat().st_mtime_ns != at)
                yield result

    digest = run(sources, workspace, Watching(2)).digest
    assert not changed, "complete parts are not prepared again"
    assert digest == run(sources, Workspace(tmp_path / "other"), whole).digest
    (sources / "0.txt").write_text("Another text, which makes other parts.")
    assert run(sources, workspace, whole).digest != digest


def test_a_machine_without_the_sources_is_named(sources: Path, tmp_path: Path) -> None:
    class Elsewhere(OneProcess):
        def map_tasks(self, *arguments: Any, **named: Any) -> Iterator[Any]:
            (sources / "3.txt").rename(sources.parent / "3.txt")
            return super().map_tasks(*arguments, **named)

    with raises_code("cluster.source_not_shared"):
        run(sources, Workspace(tmp_path / "w"), Elsewhere(2))
