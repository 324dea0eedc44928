"""Blanks in a prompt are filled by masked models, and the rest of the text stays; each output replays."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import genloom as gl
from genloom.cli import run
from genloom.errors import GenloomError


@pytest.fixture
def home(worlds: ModuleType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> gl.Workspace:
    made = worlds.trained_workspace(tmp_path_factory.getbasetemp() / "home")
    shutil.copytree(made.root / "models", tmp_path / "models")
    return gl.Workspace(tmp_path)


def test_blanks_are_filled_and_the_rest_stays(home: gl.Workspace) -> None:
    (output,) = home.model("masks").generate("The old [MASK][MASK][MASK][MASK] saw", seed=1)
    assert output.value.startswith("The old ")
    assert output.value.endswith(" saw")
    assert "[MASK]" not in output.value
    assert output.record["request"]["edit"] == {"blanks": "The old [MASK][MASK][MASK][MASK] saw"}
    assert output.replay() == output.value


def test_several_outputs_of_one_prompt_differ_in_the_blanks_only(home: gl.Workspace) -> None:
    outputs = home.model("masks").generate("The [MASK][MASK][MASK][MASK][MASK] sea.", n=4, seed=2, temperature=1.5)
    texts = {output.value for output in outputs}
    assert len(texts) > 1
    assert all(text.startswith("The ") and text.endswith(" sea.") for text in texts)


def test_the_command_fills_blanks(
    home: gl.Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(home.folder))
    assert run(["generate", "masks", "--prompt", "A [MASK][MASK][MASK] bell", "--seed", "1", "--json"]) == 0
    (output,) = json.loads(capsys.readouterr().out)["outputs"]
    assert output["text"].startswith("A ")
    assert output["text"].endswith(" bell")
    assert run(["generate", "--replay", output["id"]]) == 0


def test_a_causal_model_reads_the_blank_as_text(home: gl.Workspace) -> None:
    (output,) = home.model("tales").generate("The [MASK] sea", seed=1, max_tokens=4, is_chat=False)
    assert output.value.startswith("The [MASK] sea")


def test_blanks_of_several_prompts_and_long_texts_are_refused(home: gl.Workspace) -> None:
    with pytest.raises(GenloomError) as caught:
        home.model("masks").generate(["The [MASK] sea", "The [MASK] bell"])
    assert caught.value.code == "generate.blanks_differ"
    with pytest.raises(GenloomError) as caught:
        home.model("masks").generate("The [MASK] sea. " * 100)
    assert caught.value.code == "generate.source_too_long"
