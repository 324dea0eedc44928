"""What a person does from a folder of files to a model that writes, and what a script reads of it."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.cli import run
from genloom.cli.training_sources import find_training_sources
from genloom.model import load_model
from genloom.store.workspace import Workspace

QUICK = [
    "--threads", "1", "--steps", "12", "--set", "network.base.width=16", "--set", "network.base.depth=1",
    "--set", "network.base.heads=2", "--set", "context_length=32", "--set", "batch_size=4", "--set", "plan.precision=float32",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a folder was collected and a model trained, through the command line."""
    folder = tmp_path_factory.mktemp("stories")
    notes = folder / "my notes"
    notes.mkdir()
    for n, tale in enumerate(worlds.tales(40, seed=1, lines=30)):
        (notes / f"{n}.txt").write_text(tale, encoding="utf-8")
    (notes / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLOOM_HOME", str(folder / "workspace"))
        collected = ["collect", str(notes), "--name", "my notes", "--near-duplicates", "0", "--workers", "1"]
        assert run([*collected, "--val", "0.2", "--licence", "mine"]) == 0
        assert run(["train", "my notes", *QUICK]) == 0
    return folder / "workspace"


@pytest.fixture(autouse=True)
def at_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "home" in request.fixturenames:
        monkeypatch.setenv("GENLOOM_HOME", str(request.getfixturevalue("home")))


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def seen(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    capsys.readouterr()
    assert run(list(arguments)) == 0
    return capsys.readouterr()


def test_train_shows_the_contract_and_the_fact_and_what_to_do_next(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = seen(capsys, "train", "my notes", "--name", "again", *QUICK)
    assert "The contract:" in err
    for words in ("parameters", "in 12 steps", "of memory", "bits per byte (counting alone gives"):
        assert words in err
    assert f"Model again/1 is stored in {home / 'models/again/1'}" in out
    for words in ("forecast  ", "bits per byte", "training time", 'Next: genloom generate again --prompt "…"'):
        assert words in out


def test_train_tells_scripts(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = told(capsys, "train", "my notes", "--name", "scripted", *QUICK)
    assert facts["ref"] == "scripted/1"
    assert Path(facts["folder"]) == Workspace(home).get_model("scripted").folder
    assert facts["run"] == Workspace(home).get_run("scripted").id
    assert facts["fact"]["steps"] == facts["forecast"]["steps"] == 12
    assert facts["bits_per_byte"] == facts["fact"]["bits_per_byte"]


def test_resume_extends_a_finished_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["train", "my notes", "--name", "longer", *QUICK])
    capsys.readouterr()
    assert run(["train", "--resume", "longer"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "is finished: its model is longer/1" in err
    assert err.count("\n") == 1
    facts = told(capsys, "train", "--resume", "longer", "--steps", "20", "--threads", "1")
    assert (facts["ref"], facts["fact"]["steps"]) == ("longer/2", 20)


def test_generate_shows_the_text_and_where_it_is(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    drafts = tmp_path / "drafts"
    options = ["--prompt", "The old", "--count", "3", "--seed", "7", "--max-tokens", "30"]
    out, _ = seen(capsys, "generate", "my notes", *options, "--out", str(drafts))
    files = sorted(drafts.iterdir())
    assert len(files) == 3
    for number, file in enumerate(files, start=1):
        assert f"── {number} of 3 · {file.stem} · {file}" in out
        assert file.read_text(encoding="utf-8").strip() in out
        assert file.read_text(encoding="utf-8").startswith("The old")
    facts = told(capsys, "generate", "my notes", *options)
    assert facts["model"] == "my notes/1"
    assert [Path(output["file"]).read_bytes() for output in facts["outputs"]] == [f.read_bytes() for f in files]
    for output in facts["outputs"]:
        assert output["text"] == output["prompt"] + output["written"]
        assert told(capsys, "generate", "--replay", output["id"])["identical"] is True


def test_prompts_come_from_a_file_too(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Zoë\n\nNobody\n", encoding="utf-8")
    prompts = ["--prompt", "A", "--prompts", str(tmp_path / "prompts.txt")]
    facts = told(capsys, "generate", "my notes", *prompts, "--max-tokens", "5")
    assert [output["prompt"] for output in facts["outputs"]] == ["A", "Zoë", "Nobody"]


def test_many_outputs_come_in_portions(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--count", "5", "--seed", "3", "--max-tokens", "8"]
    whole = told(capsys, "generate", "my notes", *options)["outputs"]
    monkeypatch.setattr("genloom.generate.engine.split_batches", _portions_of_two())
    parts = told(capsys, "generate", "my notes", *options)["outputs"]
    assert [output["text"] for output in parts] == [output["text"] for output in whole]
    assert len({output["id"] for output in whole + parts}) == 10


def _portions_of_two() -> Any:
    from genloom.generate.engine import split_batches

    return lambda asked: split_batches(asked, 2)


def test_evaluate_says_how_good_the_model_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = seen(capsys, "evaluate", "my notes", "--samples", "3", "--max-tokens", "60")
    for words in (
        "my notes/1 on ", "bytes of held-out text (val):", "bits per byte (95 % interval", "counting 5-grams reaches",
        "3 samples it wrote:", "Copied from its training text, 'my notes':", "characters in a row",
    ):  # fmt: skip
        assert words in out
    assert re.search(r"^  distinct: words \d+%, runs of two \d+%, of three \d+%, of four \d+% ", out, re.MULTILINE)
    assert re.search(r"^  repeated: [\d.]+% of the runs of four in a sample; [\d.]+% are in others", out, re.MULTILINE)
    assert "Looking for copies" in err
    folder = home / "reports/my notes-1"
    assert f"Report and charts in {folder}" in out
    assert sorted(p.name for p in folder.iterdir()) == ["evaluation.json", "likelihood.png", "training.png"]
    facts = told(capsys, "evaluate", "my notes", "--samples", "3", "--max-tokens", "60", "--split", "test")
    assert facts["split"] == "test"
    assert facts["bits_per_byte"]["low"] <= facts["bits_per_byte"]["mean"] <= facts["bits_per_byte"]["high"]
    assert len(facts["copied"]["spans"]) == 3
    assert json.loads((folder / "evaluation.json").read_text())["split"] == "test"


def test_compare_sets_two_models_side_by_side(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(["train", "my notes", "--name", "other", "--seed", "5", *QUICK])
    chart = tmp_path / "chart.png"
    out, _ = seen(
        capsys, "compare", "my notes/1", "other", "--prompt", "Zoë", "--max-tokens", "40", "--out", str(chart)
    )
    assert chart.read_bytes().startswith(b"\x89PNG")
    for words in ("── my notes/1: ", "── other/1: ", "my notes/1", f"Chart: {chart}"):
        assert words in out
    assert out.count("Zoë") >= 2
    facts = told(capsys, "compare", "my notes/1", "other", "--max-tokens", "40", "--out", str(tmp_path))
    assert facts["chart"] == str(tmp_path / "compare.png")
    assert facts["first"]["model"] == "my notes/1"


def test_the_battery_is_a_table_and_a_report(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = seen(capsys, "evaluate", "my notes", "--battery", "--limit", "4", "--tasks", "cloze, arithmetic")
    assert re.search(r"^cloze +of four words +\d+\.\d % +\d+\.\d to \d+\.\d +4 +25\.0 %$", out, re.MULTILINE)
    assert "my notes/1: cloze\nmy notes/1: arithmetic\n" in err
    report = home / "reports/my notes-1/battery.json"
    assert f"Report in {report}" in out
    facts = told(capsys, "evaluate", "my notes", "--battery", "--limit", "2")
    assert {score["task"] for score in facts["battery"]} == {"cloze", "choice", "arithmetic"}
    assert json.loads(report.read_text())["battery"] == facts["battery"]


def test_two_models_take_the_battery_side_by_side(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["compare", "my notes", "my notes/1", "--battery", "--limit", "3"]
    out, err = seen(capsys, *ask)
    assert "my notes/1 knows no roles, so it is given no instructions" in err
    assert out.splitlines()[0].split() == [
        "task", "measure", "my", "notes/1", "my", "notes/1", "difference", "95", "%", "interval", "verdict"
    ]  # fmt: skip
    for line in out.splitlines()[1:]:
        assert "+0.0 %" in line
        assert line.endswith("no difference shown")
    facts = told(capsys, *ask)["battery"]
    assert {gap["first"]["task"] for gap in facts} == {"cloze", "choice", "arithmetic"}
    assert all(gap["first"] == gap["second"] for gap in facts)


def test_a_model_is_measured_on_the_very_data_it_learned_from(
    worlds: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    planned = worlds.job(worlds.dataset(workspace), 4)
    worlds.finished(workspace, planned)
    newer = worlds.dataset(workspace, seed=5)
    where = ["--samples", "1", "--max-tokens", "5", "--workspace", str(workspace.root)]
    assert planned.digest[:12] in told(capsys, "evaluate", "tales", *where)["dataset"]
    assert newer.digest[:12] in told(capsys, "evaluate", "tales", "--data", "tales", *where)["dataset"]


def test_copies_are_looked_for_in_what_the_model_learned_from(
    worlds: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured on other data, a model that copies must not look innocent."""
    workspace = Workspace(tmp_path / "workspace")
    tales = worlds.dataset(workspace)
    worlds.finished(workspace, worlds.job(tales, 4))
    worlds.two_kinds(workspace, lines=20)
    ask = ["evaluate", "tales", "--samples", "2", "--max-tokens", "30", "--workspace", str(workspace.root)]
    own = told(capsys, *ask)
    other = told(capsys, *ask, "--data", "kinds")
    assert other["dataset"] != own["dataset"]
    assert other["copied"] == own["copied"]
    assert own["copied"]["searched"] == [f"tales@{tales.digest[:12]}"]
    assert own["copied"]["not_searched"] == []
    assert [Path(facts["folder"]).name for facts in (own, other)] == ["tales-1", "tales-1-on-kinds"]
    kept = json.loads((Path(own["folder"]) / "evaluation.json").read_text(encoding="utf-8"))
    assert kept["dataset"] == own["dataset"]
    shutil.rmtree(tales.folder)
    out, _ = seen(capsys, *ask, "--data", "kinds")
    assert "Copied from its training text: that cannot be told\n  tales/1 learned from 'tales', whose version" in out
    gone = told(capsys, *ask, "--data", "kinds")["copied"]
    assert (gone["spans"], gone["searched"], len(gone["not_searched"])) == (None, [], 1)


def test_a_tuned_model_can_copy_what_its_base_learned_from(
    worlds: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    tales, few = worlds.dataset(workspace), worlds.dataset(workspace, "few", documents=18, seed=3)
    worlds.finished(workspace, worlds.job(tales, 4))
    here = ["--workspace", str(workspace.root)]
    assert run(["train", "few", "--from", "tales", "--steps", "2", "--threads", "1", *here]) == 0
    found = find_training_sources(workspace, load_model(workspace, "few"))
    assert [dataset.digest for dataset in found.datasets] == [few.digest, tales.digest]
    shutil.rmtree(few.folder)
    left = find_training_sources(workspace, load_model(workspace, "few"))
    assert [dataset.digest for dataset in left.datasets] == [tales.digest]
    assert left.missing == (
        f"few/1 learned from 'few', whose version {few.digest[:12]} is not here, so that cannot be searched",
    )


def test_a_part_of_the_held_out_text_tells_what_all_of_it_does(
    worlds: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    worlds.finished(workspace, worlds.job(worlds.two_kinds(workspace), 1))
    ask = ["evaluate", "kinds", "--samples", "1", "--max-tokens", "5", "--workspace", str(workspace.root)]
    whole, part = (told(capsys, *ask, "--max-bytes", most)["floor"]["bits_per_byte"] for most in ("1000000", "30000"))
    assert part["low"] < whole["mean"] < part["high"]
    assert part["count"] < whole["count"] / 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "my note"], "There is no data set 'my note'. Did you mean 'my notes'?"),
        (["train", "--resume", "mynotes"], "There is no run 'mynotes'. Did you mean 'my notes'?"),
        (["train", "my notes", "--set", "plan.cooldwon=1"], "Unknown setting plan.cooldwon. Did you mean 'decay'?"),
        (["train", "my notes", "--set", "width"], "Write it like --set network.base.width=384"),
        (["train", "my notes", "--minutes", "1", "--steps", "3"], "Choose one of --minutes, --tokens and --steps"),
        (["train", "my notes", "--minutes", "-1"], "--minutes -1 makes no sense"),
        (["train", "my notes", "--name", "a/b"], "contains '/'"),
        (["train", "--resume", "my notes", "--minutes", "3"], "With --resume, only --steps says how far"),
        (["generate"], "Which model shall write?"),
        (["generate", "my note"], "There is no model 'my note'. Did you mean 'my notes'?"),
        (["generate", "my notes", "--max-tokens", "0"], "--max-tokens 0 makes no sense"),
        (["generate", "my notes", "--count", "0"], "--count 0 makes no sense"),
        (["generate", "my notes", "--top-p", "7"], "--top-p 7 makes no sense: give a number from 0 to 1"),
        (["generate", "my notes", "--prompts", "/no/such/file"], "/no/such/file: these prompts cannot be read"),
        (["generate", "my notes", "--sheet"], "--sheet puts pictures on a sheet, and my notes/1 writes texts"),
        (["generate", "my notes", "--stop", ""], '--stop "" ends nothing'),
        (["generate", "icons", "--stop", "x"], "--stop ends texts, and icons/"),
        (["generate", "my notes", "--prompts", "/tmp"], "/tmp: these prompts cannot be read: it is a folder. Name a"),
        (["train", "my notes", "--recipe", "/no/such"], "/no/such: this recipe cannot be read: there is no such file"),
        (
            ["train", "my notes", "--set", "network=foo"],
            "network is a table of settings, and 'foo' is none. Write --set",
        ),
        (["generate", "my notes", "--replay", "2026-01-01-000000"], "leave my notes away"),
        (
            [
                "generate",
                "--replay",
                "2026-01-01-000000",
                "--prompt",
                "x",
                "--temperature",
                "0",
                "--steps-between",
                "3",
            ],
            "--replay makes an output again as it was made: leave --prompt and --steps-between and --temperature away.",
        ),
        (["generate", "--replay", "2026-01-01-000000"], "There is no output '2026-01-01-000000'"),
        (["evaluate", "my notes", "--data", "yours"], "There is no data set 'yours'"),
        (["evaluate", "my notes", "--samples", "0"], "--samples 0 makes no sense"),
        (["evaluate", "my notes", "--battery", "--tasks", "chess"], "there is no task chess. Choose cloze, choice,"),
        (["evaluate", "my notes", "--battery", "--limit", "-1"], "--limit -1 makes no sense"),
        (["compare", "my notes", "other things"], "There is no model 'other things'"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    def inventory() -> set[Path]:
        return {path for path in home.rglob("*") if path.suffix != ".draft"}

    before = inventory()
    capsys.readouterr()
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    error = err.splitlines()[-1]
    assert error.startswith("genloom: ")
    assert words in error
    assert all(not line.startswith((" ", "genloom")) for line in err.splitlines()[:-1]), "notes on the work, no trace"
    assert inventory() == before


def on_a_terminal(*arguments: str) -> str:
    """What a person sees of a command whose standard output is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from genloom.cli import main; main()", *arguments]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    return seen.decode()


def test_on_a_terminal_text_appears_as_it_is_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--prompt", "The old\x1b[31m", "--seed", "2", "--max-tokens", "40"]
    shown = on_a_terminal("generate", "my notes", *options)
    (output,) = told(capsys, "generate", "my notes", *options)["outputs"]
    assert output["text"].startswith("The old\x1b[31m")
    assert shown.startswith("The old\ufffd[31m"), "text cannot colour the terminal"
    assert "\x1b" not in shown
    assert len(shown) > 30


def test_text_is_shown_in_pieces(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from genloom.cli.console import Console

    pieces: list[str] = []
    monkeypatch.setattr(Console, "is_live", property(lambda self: True))
    monkeypatch.setattr(Console, "print_text", lambda self, text: pieces.append(text))
    assert run(["generate", "my notes", "--prompt", "Zoë", "--max-tokens", "40", "--seed", "1"]) == 0
    (output,) = [o for o in Workspace(home).list_records() if o[1]["prompt"] == "Zoë"][-1:]
    assert "".join(pieces).rstrip("\n") == output[0].read_text(encoding="utf-8").rstrip("\n")
    assert len([piece for piece in pieces if piece]) > 20


def test_a_model_is_tuned_on_questions_and_answers(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": f"Who saw the {n}th boat?", "answer": f"Nobody saw number {n}."} for n in range(40)]
    (tmp_path / "talks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    collected = told(capsys, "collect", str(tmp_path / "talks.jsonl"), "--near-duplicates", "0", "--val", "0.2")
    assert collected["conversations"] == 40
    few = ["--steps", "3", "--threads", "1", "--set", "batch_size=2", "--set", "plan.precision=float32"]
    out, err = seen(capsys, "train", "talks", "--from", "my notes", *few, "--set", "adapter.rank=4")
    assert re.search(r"[\d,]+ parameters, of which [\d,]+ learn", err)
    assert re.search(r"before +after\n +bits per byte +[\d.]+ +[\d.]+\n +of general text +[\d.]+ +[\d.]+\n", out)
    full = told(capsys, "train", "talks", "--from", "talks", "--method", "full", *few)
    assert full["ref"] == "talks/2"
    assert full["fact"]["general_bits_per_byte"] > 0
    assert Workspace(home).get_model("talks/2").card["parents"][0]["ref"] == "talks/1"
    assert run(["train", "talks", "--method", "full"]) == 2
    assert "--from MODEL" in capsys.readouterr().err
