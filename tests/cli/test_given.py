"""`--given NAME=VALUE`: the values of conditions on the command line."""

import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.cli import run
from genloom.store.workspace import Workspace


@pytest.fixture
def home(worlds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of a model of short texts with a class and a number."""
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "workspace"))
    workspace = Workspace.from_option()
    columns = {
        "id": [f"{n:064x}" for n in range(12)],
        "text": ["ab" * (n % 5 + 2) for n in range(12)],
        "source": [""] * 12,
        "licence": ["CC0-1.0"] * 12,
        "split": ["train"] * 12,
        "bytes": [10] * 12,
        "kind": [("low", "high")[n % 2] for n in range(12)],
        "size": [float(n % 5) for n in range(12)],
    }
    worlds.store_columns(workspace, "words", columns)
    settings = ["conditions.kind.name=columns", "conditions.size.name=columns", "codec.name=bytes"]
    settings += ["network.name=transformer", "network.width=16", "network.depth=1", "network.heads=2"]
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    assert run(["train", "words", "--steps", "2", *arguments]) == 0
    return workspace


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_values_are_given_recorded_and_replayed(home: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--given", "kind=low", "--given", "size=2.5"]
    result = run_json(capsys, "generate", "words", *given, "--max-tokens", "4", "-o", "guidance_scale.kind=2")
    (output,) = result["outputs"]
    assert home.get_output(output["id"])[1]["given"] == {"kind": "low", "size": "2.5"}
    assert run_json(capsys, "generate", "--replay", output["id"])["identical"]


def test_errors_name_the_conditions_of_the_model(home: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for value, code, words in (
        ("kid=low", "conditioners.unknown", "kind, size"),
        ("kind=lw", "conditioners.unknown_class", "low"),
        ("size=big", "conditioners.bad_number", "size"),
        ("size", "conditioners.bad_assignment", "NAME=VALUE"),
    ):
        capsys.readouterr()
        assert run(["generate", "words", "--given", value]) == 2
        err = capsys.readouterr().err
        assert f"[{code}]" in err, err
        assert words in err


def test_a_blind_choice_needs_no_prompt_when_values_are_given(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a\n"))
    run_json(capsys, "arena", "words", "--given", "kind=high", "--max-tokens", "4", "--repeats", "0")
    records = [record for _, record in home.list_records()]
    assert [record["given"] for record in records] == [{"kind": "high"}] * 2


def test_a_continued_output_keeps_its_conditions(home: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--given", "kind=low", "--given", "size=2.5", "--max-tokens", "4"]
    (first,) = run_json(capsys, "generate", "words", *given)["outputs"]
    (second,) = run_json(capsys, "generate", "words", "--continue-from", first["id"], "--max-tokens", "4")["outputs"]
    assert second["given"] == first["given"] == {"kind": "low", "size": "2.5"}
    (third,) = run_json(capsys, "generate", "words", "--continue-from", "last", "--given", "kind=high")["outputs"]
    assert third["given"] == {"kind": "high"}
    assert third["text"].startswith(second["text"])


def test_several_values_of_a_condition_give_outputs_for_each(
    home: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--given", "kind=low", "--given", "kind=high", "--given", "size=1", "--max-tokens", "4"]
    outputs = run_json(capsys, "generate", "words", *given, "--count", "2", "--seed", "3")["outputs"]
    assert [output["given"]["kind"] for output in outputs] == ["low", "low", "high", "high"]
    assert {output["given"]["size"] for output in outputs} == {"1"}
    assert [output["nonce"] for output in outputs[:2]] == [output["nonce"] for output in outputs[2:]]
    assert run_json(capsys, "generate", "--replay", outputs[3]["id"])["identical"] is True


def test_a_session_of_choices_has_several_values(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--given", "kind=low", "--given", "kind=high", "--max-tokens", "4", "--repeats", "0", "--rater", "zoe"]
    monkeypatch.setattr("sys.stdin", io.StringIO("a\na\n"))
    summary = run_json(capsys, "arena", "words", *given)
    assert len(summary["choices"]) == 2
    assert sorted(home.get_output(output)[1]["given"]["kind"] for output in home.list_outputs()) == [
        *["high"] * 2,
        *["low"] * 2,
    ]
