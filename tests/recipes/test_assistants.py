"""Assistants by field: each folder is complete, answers from its documents, and shows its disclaimer every time."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import genloom as gl
from genloom.assistant.prompts.prompt_file import read_prompt
from genloom.settings import read_recipe
from recipes.assistants import run

FIELDS = ("legal", "medical", "scientific", "support")


@pytest.fixture(scope="module")
def models(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.serving_workspace(tmp_path_factory.mktemp("made")).root / "models"


@pytest.fixture
def workspace(models: Path, tmp_path: Path) -> gl.Workspace:
    shutil.copytree(models, tmp_path / "home/models")
    return gl.Workspace(tmp_path / "home")


@pytest.mark.parametrize("field", FIELDS)
def test_a_folder_is_complete(field: str) -> None:
    folder = run.FOLDER / field
    assistant = run.read_assistant(folder)
    assert assistant.licence == "CC0-1.0"
    questions = run.read_questions(folder)
    assert sum(not question.is_unsupported for question in questions) >= 15
    assert sum(question.is_unsupported for question in questions) >= 3
    sources = {path.name for path in (folder / "knowledge").iterdir()}
    assert {question.source for question in questions if question.source} <= sources
    for path in (folder / "prompts").glob("*.toml"):
        assert read_prompt(path).tests, path
    assert set(read_prompt(folder / "prompts/answer.toml").variables) == {"question", "passages"}
    rows = [json.loads(line) for line in (folder / "data/answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 15
    assert all(row["prompt"] and row["completion"] and row["licence"] == "CC0-1.0" for row in rows)
    assert not {row["prompt"] for row in rows} & {question.question for question in questions}
    assert read_recipe(folder / "job.toml")


@pytest.mark.parametrize(
    "field", ["support", *(pytest.param(field, marks=pytest.mark.slow) for field in FIELDS if field != "support")]
)
def test_the_documents_answer_the_questions_and_no_others(field: str, workspace: gl.Workspace) -> None:
    found = run.evaluate_assistant(workspace, run.read_assistant(run.FOLDER / field), quotes_only=True)
    assert found["questions"] >= 15
    assert found["quote_right"] >= 0.8 * found["questions"], found
    assert found["source_right"] >= 0.8 * found["questions"], found
    assert found["rightly_refused"] == found["unanswerable"], found


def test_a_model_answers_by_the_prompt_and_with_the_disclaimer(workspace: gl.Workspace) -> None:
    assistant = run.read_assistant(run.FOLDER / "support")
    with run.open_documents(workspace, assistant) as knowledge:
        found = run.answer_question(knowledge, assistant, "How often should I descale the machine?", "tales")
        assert found.text.endswith(assistant.disclaimer)
        assert found.files[0] == "handbook.md"
        unanswered = run.answer_question(knowledge, assistant, "What is the capital of Peru?", "tales")
    assert unanswered.text == f"{assistant.unsupported}\n\n{assistant.disclaimer}"
    assert not unanswered.is_supported


def test_an_assistant_is_asked_by_a_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["medical", "--ask", "How long is a burn cooled under running water?", "--quotes-only"]
    run.main([*words, "--workspace", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "twenty minutes" in shown
    assert "no medical advice" in shown


@pytest.mark.parametrize("change", ['disclaimer = ""', 'colour = "red"'])
def test_a_folder_without_a_disclaimer_is_refused(tmp_path: Path, change: str) -> None:
    lines = (run.FOLDER / "legal/assistant.toml").read_text(encoding="utf-8").splitlines()
    name = change.partition(" ")[0]
    kept = [line for line in lines if not line.startswith(f"{name} ")]
    (tmp_path / "assistant.toml").write_text("\n".join([*kept, change]), encoding="utf-8")
    with pytest.raises(ValueError, match="disclaimer"):
        run.read_assistant(tmp_path)


def test_a_question_without_a_check_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evaluation.jsonl").write_text('{"question": "Why?"}\n')
    with pytest.raises(ValueError, match="contains"):
        run.read_questions(tmp_path)
