"""Values that cannot be used are refused before any work, with the code that says why."""

from pathlib import Path

import pytest

import genloom as gl
from genloom.api.outputs import build_mimebundle
from genloom.cli import run
from genloom.store.workspace import Workspace
from genloom.types import Display
from tests.errors import raises_code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--method", "nonsense"], "train.unknown_preference_method"),
        (["--method", "dpo", "--set", "learning.beta=nan"], "core.bad_setting_value"),
        ([], "rate.too_few_preferences"),
    ],
)
def test_a_wrong_setting_of_a_round_is_told_before_the_missing_ratings(
    options: list[str], code: str, trained_copy: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["learn", "tales", *options, "--workspace", str(trained_copy.root)]) == 2
    assert f"[{code}]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " "])
def test_a_workspace_without_a_name_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["list", "--workspace", name]) == 2
    assert "[store.workspace_empty]" in capsys.readouterr().err
    with raises_code("store.workspace_empty"):
        gl.Workspace(name)
    assert not list(tmp_path.iterdir())


def test_prompts_that_never_end_are_refused(trained_copy: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "tales", "--prompts", "/dev/zero", "--workspace", str(trained_copy.root)]) == 2
    assert "[core.unreadable_file]" in capsys.readouterr().err


def test_a_text_cannot_move_the_cursor_of_a_console() -> None:
    shown = Display("text/plain", b"a\x1b[31mb\n\tc", "a\x1b[31mb\n\tc")
    assert build_mimebundle(shown, "an output")["text/plain"] == "a\ufffd[31mb\n\tc"
