"""`genloom policy`: people see the content rules, test texts and write a file of their own."""

import json
from pathlib import Path
from typing import Any

import pytest

from genloom.cli import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def call(capsys: Capture, *arguments: str, exit_code: int = 0) -> Any:
    capsys.readouterr()
    assert run(["policy", *arguments, "--json"]) == exit_code
    return json.loads(capsys.readouterr().out)


def test_rules_are_shown(capsys: Capture, home: Path) -> None:
    assert call(capsys)["rules"]["sexual-minors"]["action"] == "refuse"
    assert not home.exists()


def test_texts_are_tested(capsys: Capture) -> None:
    refused = call(capsys, "check", "an erotic story about a child", exit_code=1)
    assert refused["refused"]
    assert refused["decisions"][0]["words"] == ["erotic", "child"]
    assert call(capsys, "check", "a story about a child") == {"refused": False, "decisions": []}


def test_a_new_file_is_an_example(capsys: Capture, home: Path) -> None:
    assert call(capsys, "new") == {"file": str(home / "policy.toml")}
    assert call(capsys, "check", "Project Nightingale")["decisions"][0]["action"] == "log"
    assert run(["policy", "new"]) == 2


@pytest.mark.parametrize("arguments", [["check"], ["show", "text"], ["new", "text"]])
def test_wrong_use(arguments: list[str], capsys: Capture) -> None:
    assert run(["policy", *arguments]) == 2
    assert "cli.policy_usage" in capsys.readouterr().err
