"""A workspace that an earlier Genloom wrote, with its old names on disk: everything in it can still be used."""

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from genloom.cli import run
from genloom.model import describe_machine

ARCHIVE = Path(__file__).with_name("old_workspace.tar.gz")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "small"))
    return tmp_path / "small"


def records(home: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted((home / "outputs").glob("2*/*.json"))]


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out))


def test_every_kind_of_output_is_replayed_to_the_same_bytes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The outputs were made on a processor with AVX-512 but without AMX; images differ elsewhere by their last bits."""
    here = describe_machine()
    kinds = {}
    for record in records(home):
        request = record["request"]
        assert isinstance(request, dict)
        kinds[record["model"], *sorted(request), *sorted(request["controls"])] = record
    assert len(kinds) >= 5
    if next(iter(kinds.values()))["machine"] != {name: value for name, value in here.items() if name != "kind"}:
        pytest.skip("the outputs were made on another kind of processor, whose last bits may differ")
    for record in kinds.values():
        if str(record["file"]).endswith(".txt") or "amx" not in str(here["kind"]):
            assert run_json(capsys, "generate", "--replay", str(record["id"]))["identical"] is True


def test_a_replay_on_an_unrecorded_kind_of_processor_names_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = next(path for path in sorted((home / "outputs").glob("2*/*.json")))
    text = record.with_suffix(".txt")
    text.write_text("changed", encoding="utf-8")
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "sha256": hashlib.sha256(b"changed").hexdigest()}))
    assert run(["generate", "--replay", content["id"]]) == 2
    assert "[generate.replay_differs_by_machine]" in (err := capsys.readouterr().err)
    assert str(describe_machine()["kind"]) in err


def test_models_ratings_and_runs_are_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(run_json(capsys, "list")["models"]) == 2  # ty: ignore[invalid-argument-type]
    assert len(run_json(capsys, "ratings")["ratings"]) == 795  # ty: ignore[invalid-argument-type]
    assert run(["doctor"]) == 0, capsys.readouterr()
    for model in ("plays/1", "plays/2", "icons"):
        assert run_json(capsys, "generate", model, "--prompt", "a", "--seed", "1")["outputs"]
    assert run_json(capsys, "evaluate", "plays")


def test_a_finished_run_is_read_and_its_model_learns(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert os.environ["GENLOOM_HOME"] == str(home)
    assert run(["train", "--resume", "2026-11-30-4agwqq"]) == 2
    assert "[train.run_finished]" in (err := capsys.readouterr().err)
    assert "plays/1" in err
    assert run_json(capsys, "learn", "plays", "--steps", "2")["challenger"] == "plays/3"
