"""Translate, summarize and classify as a person uses them, with a small model that was trained here."""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import genloom as gl
from genloom.cli import run
from genloom.errors import GenloomError

LETTER = "Dear Sir,\n\nthe old king saw the sea and a red boat. A young crow sang to the last bell.\n\n- one chair\n"
SPAM = [f"Buy {n} cheap pills now, win money, free offer, click here to order" for n in range(12)]
HAM = [f"The meeting of our project on day {n} is in the small room, please read the notes" for n in range(12)]
NEW = (SPAM[0].replace("0", "40"), HAM[0].replace("0", "40"))


@pytest.fixture(scope="module")
def models(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.serving_workspace(tmp_path_factory.mktemp("made")).root / "models"


@pytest.fixture
def home(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gl.Workspace:
    shutil.copytree(models, tmp_path / "home/models")
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
    workspace = gl.Workspace(tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letter.txt").write_text(LETTER)
    return workspace


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def get_code(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert run([*words]) == 2
    return capsys.readouterr().err.rpartition("[")[2].strip("]\n")


def test_a_translation_keeps_the_structure_and_stores_every_piece(
    home: gl.Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--to", "fr", "--from", "en", "--model", "tales", "--tries", "2", "--seed", "3"]
    found = run_json(capsys, "translate", "letter.txt", *options)
    assert (found["from"], found["to"]) == ("en", "fr")
    assert found["text"].count("\n\n") >= LETTER.count("\n\n")
    assert "\n- " in found["text"]
    for piece in found["pieces"]:
        record = home.output(piece["output"]).record
        assert "Translate from English to French" in record["conversation"][0]["content"]
        assert piece["source"] in LETTER
    assert found["notes"], "this model knows no French, which is said"
    home.output(found["pieces"][0]["output"]).rate(up=True)


def test_a_translation_replays(home: gl.Workspace) -> None:
    translation = home.model("tales").translate("The old king saw the sea and a red boat.", to="French", source="en")
    assert translation.model == "tales/1"
    assert all(output.replay() for output in translation.outputs if output.record["written"])


def test_a_translation_is_written_to_a_file(home: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(
        capsys, "translate", "letter.txt", "--to", "de", "--from", "en", "--tries", "1", "--out", "brief.txt"
    )
    assert Path("brief.txt").read_text(encoding="utf-8") == found["text"]


def test_a_glossary_is_enforced_by_a_grammar_where_the_model_does_not_keep_to_it(home: gl.Workspace) -> None:
    pytest.importorskip("llguidance")
    translation = home.translate(
        "The old king saw the sea.", to="fr", source="en", model="tales", glossary={"sea": "mer"}, tries=1
    )
    (piece,) = translation.pieces
    assert piece.terms == {"sea": "mer"}
    assert piece.means in ("first", "grammar")
    assert "mer" in translation.text
    assert not translation.missing_terms


def test_a_summary_stands_beside_extracts(home: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    text = "The old king saw the sea. A young crow sang to the last bell. Nobody forgot a red boat. All was well."
    Path("tale.txt").write_text(text)
    found = run_json(capsys, "summarize", "tale.txt", "--length", "line", "--model", "tales", "--seed", "1")
    assert found["extracts"]["lead"] == "The old king saw the sea."
    assert found["extracts"]["centroid"] in text
    assert home.output(found["output"]).record["conversation"][0]["content"].endswith(text)
    assert len(found["support"]) <= 1
    assert run(["summarize", "tale.txt", "--length", "line", "--model", "tales"]) == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["translate", "letter.txt", "--to", "Frensh"], "tasks.unknown_language"),
        (["translate", "letter.txt", "--to", "en"], "tasks.source_is_target"),
        (["translate", "letter.txt", "--to", "fr", "--from", "French"], "tasks.source_is_target"),
        (["translate", "empty.txt", "--to", "fr"], "tasks.empty_text"),
        (["translate", "none.txt", "--to", "fr"], "media.unreadable_file"),
        (["translate", "large.txt", "--to", "fr"], "tasks.text_too_large"),
        (["translate", "letter.txt", "--to", "fr", "--glossary", "both.csv"], "tasks.glossary_contradiction"),
        (["translate", "letter.txt", "--to", "fr", "--model", "masks"], "generate.cannot_chat_kind"),
        (["summarize", "letter.txt", "--length", "shrot"], "tasks.unknown_length"),
        (["summarize", "empty.txt"], "tasks.empty_text"),
        (["classify", "mails.csv", "--labels", "spam"], "tasks.too_few_labels"),
        (["classify", "mails.csv"], "tasks.too_few_labels"),
        (["classify", "mails.csv", "--labels", "spam,ham", "--column", "bdy"], "tasks.no_such_column"),
        (["classify", "mails.csv", "--labels", "spam,ham", "--method", "heads"], "tasks.unknown_method"),
        (["classify", "mails.csv", "--labels", "spam,ham", "--method", "head"], "tasks.train_needed"),
        (["classify", "mails.csv", "--labels", "good,bad", "--train", "mails.csv"], "tasks.label_absent"),
        (["classify", "mails.csv", "--classifier", "none"], "store.nothing_known"),
        (["classify", "letter.txt", "--labels", "spam,ham"], "tasks.not_a_table"),
    ],
)
def test_wrong_use_is_refused(
    home: gl.Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], code: str
) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    if "large.txt" in words:
        with (tmp_path / "large.txt").open("w") as file:
            for _ in range(50):
                file.write("many words " * 95_000)
    (tmp_path / "both.csv").write_text("en,fr\nsea,mer\nSea,océan\n")
    (tmp_path / "mails.csv").write_text("body,label\n" + "".join(f"{text.replace(',', '')},spam\n" for text in SPAM))
    assert get_code(capsys, *words) == code


def test_without_a_chat_model_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("Some words of a text that is here.")
    words = ["translate", str(tmp_path / "a.txt"), "--to", "fr", "--from", "en", "--workspace", str(tmp_path / "none")]
    assert get_code(capsys, *words) == "assistant.no_chat_model"


@pytest.mark.parametrize("method", ["embeddings", "head"])
def test_a_classifier_is_trained_kept_and_used_again(
    home: gl.Workspace, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    rows = [(text, "spam") for text in SPAM] + [(text, "ham") for text in HAM]
    Path("train.csv").write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    Path("new.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in NEW))
    words = ["classify", "new.csv", "--labels", "spam,ham", "--method", method, "--train", "train.csv"]
    made = run_json(capsys, *words, "--name", "mail", "--model", "tales", "--out", "labelled.csv")
    assert [row["label"] for row in made["rows"]] == ["spam", "ham"]
    assert made["classifier"]["examples"] == {"spam": 12, "ham": 12}
    assert Path("labelled.csv").read_text().splitlines()[0] == "text,predicted_label,confidence"
    again = run_json(capsys, "classify", "new.csv", "--classifier", "mail")
    assert again["rows"] == made["rows"]
    assert again["model"] == ("tales/1" if method == "head" else "")
    assert get_code(capsys, *words, "--name", "mail") == "tasks.classifier_exists"
    (row,) = run_json(capsys, "list", "classifiers")["classifiers"]
    assert (row["classifier"], row["method"], row["labels"]) == ("mail", method, ["spam", "ham"])
    assert row["bytes"] > 1000
    if method == "head":
        assert get_code(capsys, "remove", "models", "tales") == "api.still_needed"
    assert run(["remove", "classifiers", "mail"]) == 0
    assert run_json(capsys, "list")["classifiers"] == []
    assert get_code(capsys, "classify", "new.csv", "--classifier", "mail") == "store.nothing_known"
    assert run(["remove", "--restore", "mail"]) == 0
    assert run_json(capsys, "classify", "new.csv", "--classifier", "mail")["rows"] == made["rows"]


def test_a_damaged_classifier_is_removed_by_its_name(home: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home.folder / "classifiers" / "mail"
    folder.mkdir(parents=True)
    (folder / "classifier.json").write_text("[")
    Path("new.csv").write_text("text\none\n")
    assert get_code(capsys, "classify", "new.csv", "--classifier", "mail") == "tasks.damaged_classifier"
    assert home.classifiers == []
    home.remove("classifiers", "mail")
    assert not folder.exists()
    with pytest.raises(GenloomError, match="classifier"):
        home.remove("classifiers", "mail")


def test_zero_shot_gives_probabilities_of_all_labels(home: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.csv").write_text(f'text\n"{SPAM[0]}"\n"{HAM[0]}"\n"{HAM[1]}"\n')
    found = run_json(capsys, "classify", "new.csv", "--labels", "spam,ham,news", "--model", "tales")
    assert found["method"] == "zero-shot"
    for row in found["rows"]:
        assert row["probabilities"].keys() == {"spam", "ham", "news"}
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["confidence"] == max(row["probabilities"].values())
    assert sum(found["counts"].values()) == 3
    assert run(["classify", "new.csv", "--labels", "spam,ham", "--model", "tales"]) == 0


def test_texts_of_python_are_classified(home: gl.Workspace) -> None:
    examples = [(text, "spam") for text in SPAM] + [(text, "ham") for text in HAM]
    found = home.classify([SPAM[3], HAM[3]], ["spam", "ham"], train=examples, name="mine")
    assert [row.label for row in found.rows] == ["spam", "ham"]
    assert home.classify([], classifier="mine").rows == ()
    with pytest.raises(GenloomError) as caught:
        home.classify(["a"], ["spam", "ham"], classifier="mine")
    assert caught.value.code == "tasks.labels_and_classifier"
