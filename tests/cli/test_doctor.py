"""`genloom doctor` finds nothing wrong after any kind of run, and calls only proven damage damage."""

import errno
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from genloom.cli import run
from genloom.generate import engine, output_records
from genloom.model import load_model
from genloom.rate.ratings import record_choice
from genloom.store.active_version import write_active_version
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace
from genloom.train.planning.auto_config import Budget
from genloom.train.run import TrainRequest, train_model

PICTURES = {"network.width": "16", "batch_size": "8", "plan.precision": "float32"}
AUTOENCODER = {
    **PICTURES, "codec.name": "pixels", "codec.size": "8", "objective.grid": "[4, 4]", "objective.latent": "3",
}  # fmt: skip
DIT = {
    **PICTURES,
    "network.name": "dit",
    "network.depth": "1",
    "network.head_width": "16",
    "text_encoder.name": "words",
}


def find_problems(workspace: Workspace, capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    capsys.readouterr()
    run(["doctor", "--json", "--workspace", str(workspace.root), *options])
    return json.loads(capsys.readouterr().out)["problems"]


def train(workspace: Workspace, data: str, name: str, steps: int = 3, base: str = "", **options: object) -> None:
    for _ in train_model(workspace, TrainRequest(data, name, base, steps=steps, **options)):  # ty: ignore[invalid-argument-type]
        pass


def test_doctor_is_silent_after_every_kind_of_run(
    worlds: ModuleType,
    trained_home: Workspace,
    trained_copy: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace = trained_copy
    shutil.copytree(trained_home.root / "runs", tmp_path / "runs")
    worlds.create_image_dataset(workspace)
    train(workspace, "tales", "counted", 20, budget=Budget(params=20_000))
    train(workspace, "tales", "adapted", base="tales", method="lora")
    train(workspace, "tales", "full", base="tales", method="full")
    train(workspace, "tiles", "flow", overrides={"codec.name": "pixels", "codec.size": "8", **DIT})
    train(workspace, "tiles", "between", overrides={"objective.name": "vae_gan", **AUTOENCODER})
    train(workspace, "tiles", "latent", overrides={"codec.name": "latent", "codec.model": "between", **DIT})
    model = load_model(workspace, "tales")
    request = engine.build_request([f"Tale {n}\n\n" for n in range(80)], 2, 0, (), {"max_tokens": 4})
    outputs = output_records.store_outputs(workspace, model, request, engine.run_request(model, request))
    ledger = open_ledger(tmp_path)
    for n in range(0, 160, 2):
        record_choice(workspace, ledger, outputs[n], outputs[n + 1], "a", "zoe")
    learning = ["learn", "tales", "--steps", "1", "--max-eval-prompts", "2", "--set", "plan.precision=float32"]
    assert run([*learning, "--workspace", str(tmp_path)]) in (0, 1)
    stored_types = {
        tensor["dtype"]
        for path in tmp_path.glob("runs/*/state/*.safetensors")
        for tensor in json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]).values()
    }
    assert {"F32", "U16"} <= stored_types or {"F32", "U32"} <= stored_types, "the counts are among them"
    assert find_problems(workspace, capsys) == []
    assert find_problems(workspace, capsys, "--verify") == []


@pytest.mark.parametrize("trace", ["ledger.sqlite.head.json", "champion.json", "receipt.json", "arena"])
def test_ratings_that_were_deleted_are_missed(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever deletes the ledger, and even the file beside it, leaves what came of the ratings."""
    workspace = Workspace(tmp_path)
    for n in range(6):
        record = {"prompt": f"{n // 2}", "written": "x", **({"arena": "session"} if trace == "arena" else {})}
        output = workspace.save_output("x", ".txt", record)
    assert run(["rate", output, "--up", "--rater", "zoe", "--workspace", str(tmp_path)]) == 0
    if trace == "champion.json":
        (tmp_path / "models/notes").mkdir(parents=True)
        write_active_version(tmp_path / "models/notes", 1, "0123456789ab")
    if trace == "receipt.json":
        (workspace.create_run("notes") / trace).write_text("{}")
    assert find_problems(workspace, capsys) == []
    (tmp_path / "ledger.sqlite").unlink()
    if trace != "ledger.sqlite.head.json":
        (tmp_path / "ledger.sqlite.head.json").unlink()
    for options in ([], ["--verify"]):
        (problem,) = find_problems(workspace, capsys, *options)
        assert trace in problem
        assert str(tmp_path / "ledger.sqlite") in problem
    assert run(["ratings", "verify", "--workspace", str(tmp_path)]) == 1
    assert trace in capsys.readouterr().out


def test_keys_of_another_user_are_a_problem_among_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_exposed(root: Path) -> list[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(root / "keys/signing"))

    monkeypatch.setattr("genloom.store.keys.list_exposed", list_exposed)
    (problem,) = find_problems(Workspace(tmp_path), capsys)
    assert problem.startswith(f"{tmp_path / 'keys/signing'}: permission denied")


def test_a_changed_rating_is_told_without_being_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = Workspace(tmp_path).save_output("x", ".txt", {"prompt": "p", "written": "x"})
    assert run(["rate", output, "--up", "--rater", "zoe", "--workspace", str(tmp_path)]) == 0
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(f"UPDATE {table} SET body = replace(body, 'zoe', 'ann')")
        connection.commit()
    (problem,) = find_problems(Workspace(tmp_path), capsys)
    assert "ledger.sqlite" in problem


def test_a_checkpoint_is_damaged_only_if_its_digest_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from genloom.store.files import hash_file

    workspace = Workspace(tmp_path)
    state = workspace.create_run("notes") / "state"
    state.mkdir()
    table = json.dumps({"a": {"dtype": "Q9", "shape": [2], "data_offsets": [0, 2]}}).encode()
    weights = state / "000000007.safetensors"
    weights.write_bytes(len(table).to_bytes(8, "little") + table + b"12")
    metadata = {"step": 7, "skipped": 0, "keep": False, "sha256": hash_file(weights), "machine": {}}
    (state / "000000007.json").write_text(json.dumps(metadata))
    assert find_problems(workspace, capsys) == [], "a type of a later version is no damage"
    assert find_problems(workspace, capsys, "--verify") == []
    weights.write_bytes(weights.read_bytes()[:-1] + b"3")
    for options in ([], ["--verify"]):
        (problem,) = find_problems(workspace, capsys, *options)
        assert str(weights) in problem
        assert "emove" not in problem
        assert "elete" not in problem
