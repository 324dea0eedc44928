"""Cures name the command as it can be typed here."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genloom import program
from genloom.cli import run
from genloom.cli.app import VERBS, get_module_name
from genloom.errors import GenloomError
from genloom.program import find_program, name_program, repeat_options
from genloom.server.errors import APIError, hide_paths


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with an installation in .venv that is not active; the working directory."""
    folder = tmp_path / "checkout"
    place_program(folder / ".venv" / "bin")
    (folder / ".venv" / "bin" / "python").touch()
    monkeypatch.setattr(sys, "executable", str(folder / ".venv" / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(folder)
    return folder


def place_program(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "genloom").write_text("#!/bin/sh\n")
    (folder / "genloom").chmod(0o755)


def test_an_environment_that_is_not_active_is_named_by_its_path(checkout: Path) -> None:
    assert find_program() == ".venv/bin/genloom"
    assert ".venv/bin/genloom access new" in str(APIError("server.no_key"))


def test_an_active_environment_has_the_command_by_its_name(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout / ".venv" / "bin"), prepend=os.pathsep)
    assert find_program() == "genloom"


def test_another_installation_in_the_path_is_not_this_one(checkout: Path, tmp_path: Path) -> None:
    place_program(tmp_path / "bin")
    assert find_program() == ".venv/bin/genloom"


def test_without_a_script_python_runs_the_package(checkout: Path) -> None:
    (checkout / ".venv" / "bin" / "genloom").unlink()
    assert find_program() == ".venv/bin/python -m genloom"


def test_commands_repeat_the_workspace_and_the_ledger(checkout: Path) -> None:
    repeat_options("my {odd} place", "postgresql://me@host/team")
    try:
        assert name_program("Next: genloom train x, or genloom --version") == (
            "Next: .venv/bin/genloom train --workspace 'my {odd} place' x, or .venv/bin/genloom --version"
        )
        assert "rate --workspace 'my {odd} place' --ledger postgresql://me@host/team last" in name_program(
            "genloom rate last --up"
        )
        assert "access --workspace 'my {odd} place' new" in str(APIError("server.no_key"))
        repeat_options("w", "postgresql://me:secret@host/team")
        assert name_program("genloom rate last") == ".venv/bin/genloom rate --workspace w last"
    finally:
        repeat_options()
    assert name_program("genloom rate last") == ".venv/bin/genloom rate last"


def test_the_verbs_that_take_a_ledger_are_known() -> None:
    takers = {verb for verb in VERBS if "ledger" in inspect.signature(load_verb(verb)).parameters}
    assert takers == program._LEDGER_VERBS
    assert all("common" in inspect.signature(load_verb(verb)).parameters for verb in VERBS)


def test_a_command_repeats_its_workspace_in_its_cures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "notes", "--workspace", str(tmp_path / "w")]) == 2
    assert f"collect --workspace {tmp_path / 'w'}" in capsys.readouterr().err
    assert "--workspace" not in name_program("genloom collect x")


def load_verb(verb: str) -> Callable[..., object]:
    return importlib.import_module(get_module_name(verb)).run


def test_only_commands_are_renamed(checkout: Path) -> None:
    assert name_program("genloom train x; see genloom.toml and /opt/genloom list") == (
        ".venv/bin/genloom train x; see genloom.toml and /opt/genloom list"
    )
    # What stands in a field was typed by someone, and is shown as it is.
    error = GenloomError("store.unknown_name", kind="model", name="genloom train", known="")
    assert "'genloom train'" in str(error)


def test_clients_do_not_learn_where_the_installation_lies(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert str(checkout) in str(APIError("server.no_key"))
    assert "/" not in hide_paths(APIError("server.no_key")).partition("genloom access")[0]
