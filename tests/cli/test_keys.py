"""`genloom keys`: what a person does with the keys of a workspace; no command prints a secret."""

import json
import secrets
import stat
from pathlib import Path
from typing import Any

import pytest

from genloom.cli import run
from genloom.store import keys as marking
from genloom.trust import signing

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("GENLOOM_HOME", str(home))
    monkeypatch.setattr(marking, "draw_secret", lambda: secrets.token_bytes(32))  # other tests draw a constant one
    return home


def call(capsys: Capture, *arguments: str | Path) -> Any:
    capsys.readouterr()
    assert run(["keys", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def list_secrets(home: Path) -> list[str]:
    found = [key.secret.hex() for key in marking.MarkingKeys(home).list_keys()]
    return found + [line for key in signing.list_signing_keys(home) for line in key.key.splitlines()[1:-1]]


def test_a_new_workspace_has_no_keys(home: Path, capsys: Capture) -> None:
    assert call(capsys) == {"keys": []}
    assert not home.exists()


def test_keys_are_made_rotated_and_shown_without_secrets(home: Path, capsys: Capture) -> None:
    first = call(capsys, "new", "marking")
    second = call(capsys, "rotate", "marking")
    signer = call(capsys, "new", "signing", "--signer", "Mia's studio")
    rotated = call(capsys, "rotate", "signing")
    assert rotated["id"] == signer["id"]
    keys = {key["id"]: key for key in call(capsys, "list")["keys"]}
    assert keys[second["id"]]["is_active"]
    assert not keys[first["id"]]["is_active"]
    assert keys[signer["id"]]["name"] == "Mia's studio"
    shown = call(capsys, "show", signer["id"][:6])
    assert "BEGIN CERTIFICATE" in shown["certificate"]
    for command in ([], ["show", signer["id"]], ["show", second["id"]], ["rotate", "signing"], ["new", "marking"]):
        assert run(["keys", *command]) == 0
        printed = capsys.readouterr()
        assert not [secret for secret in list_secrets(home) if secret in printed.out + printed.err]


def test_an_authority_is_exported_and_trusted_elsewhere(
    home: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = call(capsys, "export", "signing", "--out", tmp_path / "mia.pem")
    assert exported == {"kind": "signing", "file": str(tmp_path / "mia.pem"), "secret": False}
    assert "PRIVATE" not in (tmp_path / "mia.pem").read_text()
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "elsewhere"))
    (trusted,) = call(capsys, "trust", tmp_path / "mia.pem")["trusted"]
    assert trusted["kind"] == "trusted"
    assert [key["id"] for key in call(capsys)["keys"]] == [trusted["id"]]


@pytest.mark.parametrize("kind", ["signing", "marking"])
def test_a_secret_is_written_only_if_asked_for(home: Path, tmp_path: Path, capsys: Capture, kind: str) -> None:
    call(capsys, "new", kind)
    path = tmp_path / "backup.key"
    call(capsys, "export", kind, "--secret", "--out", path)
    assert any(secret in path.read_text() for secret in list_secrets(home))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "signing"],
        ["new"],
        ["new", "other"],
        ["show"],
        ["show", "unknown"],
        ["rotate", "trusted"],
        ["export", "signing"],
        ["export", "marking", "--out", "key"],
        ["trust"],
        ["trust", "missing.pem"],
        ["drop"],
        ["list", "--signer", "Mia"],
        ["new", "marking", "--signer", "Mia"],
        ["new", "signing", "--secret"],
        ["show", "unknown", "--reason", "stolen"],
    ],
)
def test_wrong_use_is_refused(home: Path, capsys: Capture, arguments: list[str]) -> None:
    assert run(["keys", *arguments]) == 2
    assert capsys.readouterr().err
    assert not (home / "keys").exists()
