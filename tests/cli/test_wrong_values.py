"""Values that cannot be used are refused before any work, with the code that says why."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import genloom as gl
from genloom.api.notebook import build_mimebundle
from genloom.cli import run
from genloom.store.workspace import Workspace
from genloom.types import Display
from tests.errors import raises_code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--method", "nonsense"], "train.unknown_preference_method"),
        (["--method", "dpo", "--set", "learning.beta=nan"], "core.bad_setting_value"),
        (["--check", "nope"], "core.unknown_part"),
        (["--check", "length:nope=1"], "core.unknown_setting"),
        (["--method", "grpo", "--reward", "regex:pattern=["], "rate.bad_pattern"),
        (["--minutes", "1", "--steps", "1"], "learn.several_lengths"),
        (["--reward", "length:max_length=2"], "learn.reward_without_method"),
        ([], "rate.too_few_preferences"),
    ],
)
def test_a_wrong_setting_of_a_round_is_told_before_the_missing_ratings(
    options: list[str], code: str, trained_copy: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["learn", "tales", *options, "--workspace", str(trained_copy.root)]) == 2
    assert f"[{code}]" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--epsilon", "8"], ["--delta", "0.001"], ["--epsilon", "1", "--from", "tales"]])
def test_a_bound_of_privacy_without_private_training_is_refused(
    options: list[str], trained_copy: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "tales", "--steps", "1", *options, "--workspace", str(trained_copy.root)]
    assert run(command) == 2
    assert "[api.bound_without_private]" in capsys.readouterr().err
    with raises_code("api.bound_without_private"):
        gl.Workspace(trained_copy.root).train("tales", steps=1, epsilon=8.0)
    assert trained_copy.list_runs() == []


def test_an_output_whose_workspace_is_gone_is_told(tmp_path: Path) -> None:
    root = tmp_path / "home"
    ws = gl.Workspace(root)
    output = ws.output(ws.store.save_output("x", ".txt", {"medium": "text", "prompt": "p", "written": "x"}))
    shutil.rmtree(root)
    actions: list[Callable[[], object]] = [
        lambda: output.value, lambda: output.continuation, output.show, lambda: str(output), output.manifest,
        output.to_record, lambda: output.save(tmp_path / "a.txt"), lambda: output.save(tmp_path / "a.md"),
    ]  # fmt: skip
    for act in actions:
        with raises_code("store.output_gone", path=output.path):
            act()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [["--tasks", "cloze"], ["--limit", "3"]])
@pytest.mark.parametrize("verb", [["evaluate", "tales"], ["compare", "tales", "masks"]])
def test_tasks_belong_to_the_battery(
    verb: list[str], options: list[str], trained_copy: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*verb, *options, "--workspace", str(trained_copy.root)]) == 2
    assert "[api.tasks_without_battery]" in capsys.readouterr().err


def test_an_unknown_argument_of_an_evaluation_is_told(trained_copy: Workspace) -> None:
    model = gl.Workspace(trained_copy.root).model("tales")
    with raises_code("api.unknown_argument", name="samples"):
        model.evaluate(samples=2)
    with raises_code("api.unknown_argument", name="seeds"):
        model.compare("masks", seeds=2)


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
