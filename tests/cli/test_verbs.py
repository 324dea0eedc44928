"""The verbs collect, list and doctor."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genloom.cli import run
from genloom.store.workspace import Workspace

POEM = "The woods are lovely, dark and deep, but I have promises to keep, and miles to go before I sleep.\n"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "my-notes"
    folder.mkdir()
    for n in range(12):
        (folder / f"{n}.txt").write_text(f"Page {n}. On day {n * 17} I walked {n * 31} miles. {POEM}")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "workspace"))
    return tmp_path / "workspace"


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_folder_becomes_a_data_set_named_after_it(
    notes: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["collect", str(notes), "--workers", "1", "--near-duplicates", "0"]) == 0
    out = capsys.readouterr().out
    assert "Data set 'my-notes' in " in out
    assert "broken.pdf" in out
    assert "genloom train my-notes" in out
    data = Workspace(home).get_dataset("my-notes")
    texts = [item.value for split in ("train", "val", "test") for item in data.iter_documents(split)]
    assert len(texts) == 12
    assert all("promises to keep" in text for text in texts)


def test_collect_prints_json_for_scripts(notes: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run_json(
        capsys, "collect", str(notes / "1.txt"), str(notes / "2.txt"), "--name", "two", "--licence", "CC0-1.0",
        "--workers", "1", "--near-duplicates", "0",
    )  # fmt: skip
    data = Workspace(home).get_dataset("two")
    assert (facts["name"], facts["digest"], facts["folder"]) == ("two", data.digest, str(data.folder))
    assert facts["documents"]["kept"] == 2
    assert facts["licences"] == {"CC0-1.0": 2}


def test_several_sources_need_a_name(notes: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["collect", str(notes / "1.txt"), str(notes / "2.txt")]) == 2
    assert "[api.several_sources_without_name]" in capsys.readouterr().err
    assert not home.exists()


def test_an_empty_workspace_says_how_to_start(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0
    out = capsys.readouterr().out
    assert f"Workspace {home} (" in out
    assert "genloom collect FOLDER" in out
    assert run(["list", "outputs"]) == 0
    assert "genloom generate MODEL" in capsys.readouterr().out
    assert not home.exists()


def test_one_document_is_one(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("The keeper of the light went down to the harbour before the morning came.\n")
    assert run(["collect", str(tmp_path / "a.txt"), "--name", "one"]) == 0
    assert run(["list", "data"]) == 0
    assert capsys.readouterr().out.count("1 document ") == 2


def test_list_shows_the_contents_of_the_workspace(notes: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["collect", str(notes), "--workers", "1", "--near-duplicates", "0", "--licence", "mine"])
    workspace = Workspace(home)
    with workspace.create_model("notes") as folder:
        (folder / "weights.safetensors").write_bytes(b"x" * 5000)
        (folder / "card.json").write_text("{}")
    started, ended, planned = (workspace.create_run("notes") for _ in range(3))
    (started / "job.toml").write_text("")  # the last was killed before it had one
    (ended / "done.json").write_text('{"model": "notes/1"}')
    output = workspace.save_output("Once upon", ".txt", {"model": "notes/1", "prompt": "Once\nupon"})
    capsys.readouterr()
    assert run(["list"]) == 0
    out = capsys.readouterr().out
    for words in (
        "my-notes",
        "12 documents",
        "mine",
        "notes/1",
        "5.0 kB",
        started.name,
        output,
        "'Once upon'",
        "finished: notes/1",
        "to resume",
        "not begun: nothing to resume",
    ):
        assert words in out
    facts = run_json(capsys, "list", "models")
    assert [model["model"] for model in facts["models"]] == ["notes/1"]
    assert "data" not in facts
    assert f"{started.name}  notes" in out
    rows = run_json(capsys, "list", "runs")["runs"]
    runs = {row["run"]: (row["model"], row["is_resumable"]) for row in rows}
    assert runs == {started.name: ("", True), ended.name: ("notes/1", False), planned.name: ("", False)}


def test_list_counts_images(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "drawn").mkdir()
    noise = np.random.default_rng(0)
    for n in range(5):
        Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / "drawn" / f"{n}.png")
    assert run(["collect", str(tmp_path / "drawn"), "--workers", "1"]) == 0
    capsys.readouterr()
    assert run(["list", "data"]) == 0
    assert "5 " in capsys.readouterr().out
    assert run_json(capsys, "list", "data")["data"][0]["medium"] == "image"


def test_damage_is_reported_with_exit_code_1(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Workspace(home).create_model("notes") as folder:
        (folder / "weights.safetensors").write_bytes(b"good")
        (folder / "card.json").write_text("{}")
    assert run_json(capsys, "doctor", "--verify")["problems"] == []
    model = Workspace(home).get_model("notes")
    (model.folder / "weights.safetensors").write_bytes(b"evil")
    assert run_json(capsys, "doctor")["problems"] == []
    (problem,) = run_json(capsys, "doctor", "--verify", code=1)["problems"]
    assert "weights.safetensors" in problem
    (model.folder / "card.json").write_text("{")
    assert "card.json" in run_json(capsys, "list", code=1)["faults"][0]
    assert run(["doctor"]) == 1
    assert "Problem  " in capsys.readouterr().out


def test_doctor_finds_truncated_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(home)
    with workspace.create_model("notes") as folder:
        (folder / "weights.safetensors").write_bytes(b"0123456789")
        (folder / "card.json").write_text("{}")
    run_folder = workspace.create_run("notes")
    state = run_folder / "state"
    state.mkdir()
    (run_folder / "job.toml").write_text("name = \n")
    facts = {"step": 7, "skipped": 0, "keep": False, "sha256": "", "machine": {}}
    (state / "000000007.json").write_text(json.dumps(facts))
    (state / "000000007.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{")
    (state / "000000005.json").write_text("{")
    (workspace.get_model("notes").folder / "weights.safetensors").write_bytes(b"01234")
    problems = run_json(capsys, "doctor", code=1)["problems"]
    assert len(problems) == 4
    for problem, words in zip(
        problems,
        ("weights.safetensors", "job.toml", "000000005.json", "000000007.safetensors"),
        strict=True,
    ):  # fmt: skip
        assert words in problem
        assert problem.endswith(".")
    assert run(["doctor"]) == 1
    assert "Problem  " in capsys.readouterr().out


def test_doctor_describes_the_machine(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    facts = run_json(capsys, "doctor")
    assert facts["machine"]["cores"] >= 1
    assert facts["machine"]["memory"] > 100_000_000
    assert facts["torch"]["version"] == torch.__version__
    assert facts["workspace"] == {
        "folder": str(home),
        "exists": False,
        "free": facts["workspace"]["free"],
        "data sets": 0,
        "models": 0,
        "runs": 0,
        "outputs": 0,
        "leftovers": [],
    }
    assert run(["doctor"]) == 0
    assert "No problems" in capsys.readouterr().out
    assert not home.exists(), "doctor creates nothing"


def test_doctor_reports_why_it_cannot_write(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from genloom.api import doctor

    def read_only(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("genloom.store.files.tempfile.TemporaryFile", read_only)
    monkeypatch.setattr(doctor.files, "get_free_bytes", lambda _: 1000)
    full, fixed = run_json(capsys, "doctor", code=1)["problems"]
    assert "1.0 kB" in full
    assert "read-only" in fixed
