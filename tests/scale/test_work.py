"""Collections, outputs and evaluations on two machines are those of this one."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from genloom.api.workspace import Workspace
from genloom.collect import parts
from genloom.collect.builtin import load_shakespeare
from tests.errors import raises_code


def test_a_collection_on_two_machines_equals_a_local_one(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play, folder = load_shakespeare(), tmp_path / "notes"
    folder.mkdir()
    for n in range(30):
        (folder / f"{n}.txt").write_text(play[n * 20_000 : n * 20_000 + 23_000])
    (folder / "copy.txt").write_text((folder / "7.txt").read_text())
    monkeypatch.setattr(parts, "PART_BYTES", 100_000)
    here = Workspace(tmp_path / "here").collect(folder, name="notes")
    there = Workspace(tmp_path / "there").collect(folder, name="notes", on="ray")
    assert there.digest == here.digest
    assert here.report["documents"] == there.report["documents"]


def test_outputs_on_two_machines_are_those_of_this_one(machines: Any, trained_home: Any, tmp_path: Path) -> None:
    prompts = [f"Tale {n}" for n in range(40)]
    texts = []
    for name, on in (("here", ""), ("there", "ray")):
        workspace = Workspace(shutil.copytree(trained_home.root, tmp_path / name))
        outputs = workspace.model("tales").generate(prompts, seed=5, max_tokens=8, is_marked=False, on=on)
        texts.append([output.value for output in outputs])
        assert [output.prompt for output in outputs] == prompts
    assert texts[0] == texts[1]
    assert outputs[33].replay() is not None


def test_an_evaluation_on_a_machine_equals_a_local_one(machines: Any, trained_home: Any, tmp_path: Path) -> None:
    model = Workspace(shutil.copytree(trained_home.root, tmp_path / "w")).model("tales")
    options: dict[str, Any] = {"num_samples": 2, "max_tokens": 8, "max_bytes": 3000}
    here, there = model.evaluate(**options), model.evaluate(**options, on="ray")
    assert there.to_json()["bits_per_byte"] == pytest.approx(here.to_json()["bits_per_byte"])


def test_a_workspace_that_a_machine_does_not_see_is_an_error(
    machines: Any, monkeypatch: pytest.MonkeyPatch, trained_home: Any
) -> None:
    model = Workspace(trained_home.root).model("tales")
    monkeypatch.setattr("genloom.api.cluster_work.has_workspace", see_nothing)
    with raises_code("cluster.workspace_not_shared"):
        model.generate("Tale", on="ray")


def see_nothing(folder: str) -> bool:
    return False
