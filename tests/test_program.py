"""Cures name the command as it can be typed here."""

import os
import sys
from pathlib import Path

import pytest

from genloom.errors import GenloomError
from genloom.program import find_program, name_program
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
