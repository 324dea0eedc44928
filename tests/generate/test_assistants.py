"""A model that was tuned on conversations answers through its chat template, whatever verb asks it."""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.api.workspace import Workspace
from genloom.cli import run
from genloom.generate.text import conversation
from genloom.generate.text.conversation import choose_chat, is_assistant
from genloom.store import workspace as store
from tests.train.test_finetune import create_conversations


@pytest.fixture
def home(
    worlds: ModuleType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    made = worlds.trained_workspace(tmp_path_factory.getbasetemp() / "home")
    for kind in ("models", "data"):
        shutil.copytree(made.root / kind, tmp_path / kind)
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    create_conversations(store.Workspace(tmp_path))
    worlds.mark_chat_tuned(store.Workspace(tmp_path), "tales")
    mark_card(tmp_path, chat=True)
    return tmp_path


def mark_card(home: Path, **facts: Any) -> None:
    path = home / "models/tales/1/card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in {**card, **facts}.items() if value is not None}))


def result(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_generate_asks_an_assistant(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["generate", "tales", "--prompt", "Who saw bell 3?", "--max-tokens", "12", "--seed", "4"]
    [answer] = result(capsys, *ask)["outputs"]
    record = Workspace(home).output(answer["id"]).record
    assert record["conversation"] == [{"role": "user", "content": "Who saw bell 3?"}]
    assert record["request"]["prompt_ids"]
    assert record["request"]["stop_loops"]
    assert record["request"]["params"]["temperature"] == conversation.DEFAULT_PARAMS["temperature"]
    assert answer["text"] == answer["written"], "the question is no part of the text"
    assert result(capsys, "generate", "--replay", answer["id"])["identical"]
    [continuation] = result(capsys, *ask, "--no-chat")["outputs"]
    assert continuation["text"].startswith("Who saw bell 3?")
    assert not Workspace(home).output(continuation["id"]).record["request"]["prompt_ids"]


def test_a_model_of_plain_text_is_asked_only_if_that_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark_card(home, chat=False)
    ask = ["generate", "tales", "--prompt", "Who?", "--max-tokens", "4"]
    [continuation] = result(capsys, *ask)["outputs"]
    assert continuation["text"].startswith("Who?")
    [answer] = result(capsys, *ask, "--chat")["outputs"]
    assert not answer["text"].startswith("Who?")
    assert run(["generate", "masks", "--chat", "--prompt", "Who?"]) == 2


def test_a_card_of_an_earlier_version_is_known_by_its_data(home: Path) -> None:
    workspace = Workspace(home)
    mark_card(home, chat=None)
    assert not is_assistant(workspace.store, workspace.model("tales").load())
    dataset = workspace.store.get_dataset("talks")
    mark_card(home, data={"name": dataset.name, "digest": dataset.digest, "licences": {}})
    assert is_assistant(workspace.store, workspace.model("tales").load())
    models = [workspace.model(name).load() for name in ("tales", "masks")]
    assert not choose_chat(workspace.store, models), "only one of them can answer"


def test_an_evaluation_shows_answers_beside_references(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate = ["evaluate", "tales", "--data", "talks", "--samples", "3", "--max-tokens", "6"]
    answers = result(capsys, *evaluate)["answers"]
    assert len(answers) == 3
    for answer in answers:
        assert answer["question"].startswith("Who saw bell")
        assert answer["reference"].startswith("Nobody: ")
        assert 0 <= answer["word_f1"] <= 1
    assert run(evaluate) == 0
    out = capsys.readouterr().out
    assert "3 held-out questions answered" in out
    assert f"reference  {answers[0]['reference']}" in out
    assert result(capsys, *evaluate, "--no-chat")["answers"] == []
    shorter = result(capsys, *evaluate[:-2], "-o", "max_tokens=1")["answers"]
    assert all(len(answer["answer"]) <= 8 for answer in shorter)
    assert run([*evaluate, "-o", "top_q=1"]) == 2


def test_a_comparison_asks_both(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "models/tales/1", home / "models/tales/2")
    compare = ["compare", "tales/1", "tales/2", "--data", "talks", "--max-tokens", "6"]
    assert run([*compare, "--prompt", "Who saw it?"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("── Question\nWho saw it?")
    assert "Reference" not in out
    assert run(compare) == 0
    assert "── Reference\nNobody: " in capsys.readouterr().out, "a held-out question without --prompt"


def test_what_is_not_read_of_a_prompt_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark_card(home, chat=False)
    long_prompt = ("The king of the hill saw a bell. " * 8).strip()
    ask = ["generate", "tales", "--prompt", long_prompt, "--max-tokens", "4"]
    [output] = result(capsys, *ask)["outputs"]
    model = Workspace(home).model("tales").load()
    expected = len(model.codec.encode(long_prompt)) + 1 - model.design.context_length
    assert output["unread_tokens"] == expected > 0
    assert run(ask) == 0
    assert f"its first {expected} tokens were not read" in capsys.readouterr().err
    comparison = result(capsys, "compare", "tales", "masks", "--data", "talks", "--prompt", long_prompt)
    assert comparison["unread_tokens"]["tales/1"] == expected
    [answer] = result(capsys, *ask, "--chat")["outputs"]
    assert answer["unread_tokens"] > expected, "an answer needs half of the context"
    once = result(capsys, "chat", "tales", "--prompt", long_prompt, "--max-tokens", "4")
    assert once["unread_tokens"] == answer["unread_tokens"]
    assert "unread_tokens" not in result(capsys, "generate", "tales", "--prompt", "Who?")["outputs"][0]


def test_a_looping_answer_ends_with_a_note_and_replays(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genloom.generate.loops.has_loop", lambda text: len(text) > 20)
    ask = ["generate", "tales", "--prompt", "Who?", "--max-tokens", "200", "--seed", "2"]
    [answer] = result(capsys, *ask)["outputs"]
    assert answer["has_loop"] is True
    assert len(answer["text"]) < 60
    assert result(capsys, "generate", "--replay", answer["id"])["identical"]
    assert run(ask) == 0
    assert "repeated itself" in capsys.readouterr().err
    assert run(["chat", "tales", "--prompt", "Who?", "--max-tokens", "200", "--seed", "2"]) == 0
    assert "repeated itself" in capsys.readouterr().err
    [text] = result(capsys, *ask, "--no-chat")["outputs"]
    assert "has_loop" not in text, "a text that is no answer may repeat itself"
