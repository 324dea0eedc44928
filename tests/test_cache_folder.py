"""The folder of what can be made or downloaded again; some users of containers have no home folder for it."""

from pathlib import Path

import pytest

from genloom.cache_folder import find_cache_folder
from genloom.networks.native import build
from tests.errors import raises_code


def test_the_cache_is_in_the_home_folder_or_where_the_user_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert find_cache_folder() == tmp_path / ".cache/genloom"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert find_cache_folder() == tmp_path / "elsewhere/genloom"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_user(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", find_user)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with raises_code("core.no_home"):
        find_cache_folder()
    monkeypatch.setattr(build, "load_library", build.load_library.__wrapped__)  # which keeps what it has loaded
    monkeypatch.setattr(build, "detect_instruction_set", lambda: "avx2")
    monkeypatch.setattr(build, "find_compiler", lambda: "c++")
    assert "XDG_CACHE_HOME" in build.get_unavailable_reason()
