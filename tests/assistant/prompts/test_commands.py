"""`genloom write` and `genloom prompts` as a person uses them, and the same in Python."""

import json
from pathlib import Path
from typing import Any

import pytest

import genloom as gl
from genloom.assistant.prompts.prompt import Prompt, Variable
from genloom.assistant.writing.lengths import estimate_max_tokens, find_num_words
from genloom.cli import run
from genloom.errors import GenloomError


def run_json(capsys: pytest.CaptureFixture[str], *command: str, status: int = 0) -> Any:
    capsys.readouterr()
    assert run([*command, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def code_of(action) -> str:
    with pytest.raises(GenloomError) as caught:
        action()
    return caught.value.code


SHORT = ("--max-tokens", "12", "--seed", "3")


def test_two_texts_are_written_rated_and_traced(ws: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("write", "email", "--to", "a {late} supplier", "--tone", "[[firm]]", "--variants", "2", *SHORT)
    facts = run_json(capsys, *command)
    a, b = (output["id"] for output in facts["outputs"])
    assert (facts["prompt"], facts["model"], facts["max_words"]) == ("email/0", "tales/1", 120)
    record = ws.output(a).record
    given = record["template"]["given"]
    assert (record["template"]["name"], given["to"], given["tone"]) == ("email", "a {late} supplier", "[[firm]]")
    assert "a {late} supplier" in record["conversation"][-1]["content"]
    assert "[[firm]]" in record["conversation"][-1]["content"]
    assert run(["rate", "--pair", a, b, "--winner", "a"]) == 0
    capsys.readouterr()
    assert run(["trace", a]) == 0
    assert "email/0" in capsys.readouterr().out
    assert run(["generate", "--replay", a]) == 0


def test_the_command_to_rate_is_shown_for_two_texts(ws: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["write", "poem", "--about", "the sea", "--variants", "2", *SHORT]) == 0
    out, err = capsys.readouterr()
    first, second = (output.id for output in ws.outputs)
    assert f"genloom rate --pair {first} {second} --winner a" in out
    assert "poem/0" in err


def test_a_seed_writes_the_same_again(ws: gl.Workspace) -> None:
    texts = [ws.write("poem", {"about": "the sea"}, seed=5, max_tokens=10).texts for _ in range(2)]
    assert texts[0] == texts[1]


def test_the_kinds_are_listed(ws: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"email", "poem"} <= set(run_json(capsys, "write")["kinds"])


def test_what_the_model_reads_can_be_shown(ws: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run_json(capsys, "write", "poem", "--about", "the sea", "--show-prompt")
    assert "the sea" in facts["messages"][-1]["content"]
    assert len(ws.outputs) == 0


def test_a_file_is_the_text_and_texts_are_saved(
    ws: gl.Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "letter.txt").write_text("Give me the money.")
    out = tmp_path / "new.txt"
    command = ("write", "rewrite", "--file", str(tmp_path / "letter.txt"), "--out", str(out), *SHORT)
    facts = run_json(capsys, *command)
    assert out.read_text(encoding="utf-8") == facts["outputs"][0]["text"]
    assert facts["max_words"] is None


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("emial", "--to", "x"), "store.unknown_name_near"),
        (("email",), "assistant.value_missing"),
        (("poem", "--about", "x", "--to", "y"), "assistant.unknown_value"),
        (("poem", "--about", "x", "--length", "endless"), "assistant.bad_length"),
        (("poem", "--about", "x", "--length", "0"), "assistant.bad_length"),
        (("poem", "--var", "about"), "assistant.bad_assignment"),
        (("poem", "--about", "x", "--var", "about=y"), "assistant.value_twice"),
        (("poem", "--var", "about=x", "--var", "about=y"), "assistant.value_twice"),
        (("rewrite", "--text", "a", "--file", "b"), "assistant.value_twice"),
        (("rewrite", "--file", "missing.txt"), "assistant.attachment_missing"),
        (("poem", "--about", "x" * 5000), "assistant.prompt_too_long"),
        (("poem", "--about", "x", "--model", "tals"), "store.unknown_name_near"),
    ],
)
def test_wrong_options_are_named(
    ws: gl.Workspace, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], code: str
) -> None:
    assert run(["write", *options]) == 2
    assert f"[{code}]" in capsys.readouterr().err
    assert len(ws.outputs) == 0


def test_without_a_chat_model_the_cure_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    assert run(["write", "poem", "--about", "x"]) == 2
    error = capsys.readouterr().err
    assert "[assistant.no_chat_model]" in error
    assert "import smollm2" in error


def test_lengths_become_words_and_tokens() -> None:
    prompt = Prompt(prompt="{length}", variables={"length": Variable()}, words={"short": 10, "medium": 20})
    assert [find_num_words(prompt, text) for text in ("", "short", "35")] == [20, 10, 35]
    assert find_num_words(Prompt(prompt="x"), "") == 0
    assert code_of(lambda: find_num_words(Prompt(prompt="x"), "short")) == "assistant.no_length"
    assert estimate_max_tokens(100) < estimate_max_tokens(100, "German")


# The library


def test_a_prompt_is_made_changed_shown_and_removed(ws: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    made = run_json(capsys, "prompts", "new", "fact", "--prompt", "Tell a fact about {animal}[[ in {place}]].")
    assert (made["saved"][0]["version"], made["saved"][0]["variables"]) == (1, ["animal", "place"])
    again = run_json(capsys, "prompts", "new", "fact", "--from", "fact", "--system", "Be brief.", "--note", "shorter")
    assert (again["saved"][0]["version"], again["saved"][0]["parent"]) == (2, "fact/1")
    (shown,) = run_json(capsys, "prompts", "show", "fact")["prompts"]
    assert (shown["version"], shown["versions"]) == (2, [1, 2])
    assert "Be brief." in shown["file"]
    assert ws.write("fact", {"animal": "owls"}, max_tokens=5, seed=1).prompt.ref == "fact/2"
    ws.outputs[-1].rate(up=True)
    assert ws.prompts.count_ratings("fact") == {2: (1, 0)}
    assert run(["prompts", "remove", "fact"]) == 0
    assert "fact" not in ws.prompts.library.list_names()
    assert run(["remove", "--restore", "fact"]) == 0
    assert ws.prompts.get("fact").version == 2


def test_a_second_prompt_of_a_name_is_said_to_be_a_version(
    ws: gl.Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(name: str, text: str) -> str:
        capsys.readouterr()
        assert run(["prompts", "new", name, "--prompt", text]) == 0
        return capsys.readouterr().out

    assert make("my fact", "One").startswith("Saved as my fact/1.\n")
    assert "Unchanged: my fact/1" in make("my fact", "One")
    again = make("my fact", "Two")
    assert "my fact/2" in again
    assert "my fact/1 stays" in again
    assert "email/0 stays" in make("email", "Hello")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("new", ""), "store.empty_name"),
        (("new", "a/b", "--prompt", "One"), "store.bad_name_chars"),
        (("new", "fact"), "assistant.empty_prompt"),
        (("new", "my", "fact", "--prompt", "One"), "assistant.too_many_prompt_names"),
        (("improve", "my", "fact", "--examples", "x"), "assistant.too_many_prompt_names"),
        (("list", "email"), "assistant.too_many_prompt_names"),
        (("show", ""), "store.empty_name"),
    ],
)
def test_wrong_names_of_prompts_are_told(
    ws: gl.Workspace, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], code: str
) -> None:
    assert run(["prompts", *command]) == 2
    assert f"[{code}]" in capsys.readouterr().err
    assert not (ws.folder / "prompts").exists()


def test_one_version_is_removed(ws: gl.Workspace) -> None:
    first = ws.prompts.new("fact", "One")
    ws.prompts.new("fact", "Two")
    ws.remove("prompts", "fact/2")
    assert ws.prompts.get("fact") == first
    assert code_of(lambda: ws.prompts.remove("email")) == "api.built_in_removal"
    assert code_of(lambda: ws.remove("prompts", "fact/7")) == "assistant.no_such_prompt_version"


def test_prompts_go_to_files_and_back(ws: gl.Workspace, tmp_path: Path) -> None:
    ws.prompts.new("fact", "Tell a fact about {animal}.", description="facts")
    paths = ws.prompts.export([], tmp_path / "kept")
    assert [path.name for path in paths] == ["fact.toml"]
    other = gl.Workspace(tmp_path / "other", rater="tom")
    (imported,) = other.prompts.import_prompts(tmp_path / "kept")
    assert (imported.ref, imported.owner, imported.digest) == ("fact/1", "mia", ws.prompts.get("fact").digest)
    assert other.prompts.import_prompts(paths[0], name="again")[0].ref == "again/1"
    assert ws.prompts.export(["email"], tmp_path / "mail.toml") == [tmp_path / "mail.toml"]
    (tmp_path / "kept" / "broken.toml").write_text("prompt = '[['")
    assert code_of(lambda: other.prompts.import_prompts(tmp_path / "kept")) == "assistant.bad_prompt_file"
    assert code_of(lambda: other.prompts.import_prompts(tmp_path / "kept", name="x")) == "assistant.name_for_several"
    (tmp_path / "empty").mkdir()
    assert code_of(lambda: other.prompts.import_prompts(tmp_path / "empty")) == "assistant.no_prompt_files"


def test_tests_are_run_and_fail_with_a_reason(ws: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    path = ws.folder.parent / "kind.toml"
    path.write_text(
        "prompt = 'Say {x}'\nsettings.max_tokens = 8\n[variables.x]\n"
        "[[tests]]\ngiven.x = 'a'\nmax_words = 50\n[[tests]]\ngiven.x = 'b'\ncontains = ['unheard of']\n"
    )
    facts = run_json(capsys, "prompts", "test", str(path), status=1)
    (report,) = facts["reports"]
    assert (report["passed"], len(report["tests"])) == (1, 2)
    assert report["tests"][1]["failures"][0]["check"] == "contains"
    assert ws.output(report["tests"][0]["output"]).record["template"]["name"] == "kind"
    ws.prompts.new("plain", "Hello")
    assert code_of(lambda: ws.prompts.test("plain")) == "assistant.no_tests"


def test_an_improvement_leaves_a_receipt_and_random_answers_save_nothing(
    ws: gl.Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ws.prompts.new("parity", "Odd or even?\n\n{text}")
    examples = tmp_path / "examples.jsonl"
    rows = [json.dumps({"input": str(n), "answer": ("even", "odd")[n % 2]}) for n in range(24)]
    examples.write_text("\n".join(rows))
    command = ("prompts", "improve", "parity", "--examples", str(examples), "--budget", "110")
    facts = run_json(capsys, *command)
    assert (facts["saved"], facts["is_proved"]) == ("", False)
    assert facts["answers"] <= 110
    assert len(list((ws.folder / "reports/prompts").glob("parity-*.json"))) == 1
    assert ws.prompts.get("parity").version == 1
    assert run(["prompts", "improve", "parity"]) == 2
    assert "[assistant.examples_missing]" in capsys.readouterr().err


def test_commands_without_a_name_and_damaged_files_are_told(
    ws: gl.Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    ws.prompts.new("fact", "One")
    (ws.folder / "prompts/fact/1.toml").write_text("prompt = '[['")
    assert run(["prompts"]) == 0
    out, err = capsys.readouterr()
    assert "email" in out
    assert "fact/1.toml" in err
    for action in ("show", "new", "test", "improve", "remove", "import"):
        assert run(["prompts", action]) == 2
        assert "[assistant.prompt_name_missing]" in capsys.readouterr().err
