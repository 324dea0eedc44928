"""From a folder of files to a model that generates text, as a person and as a script sees it."""

import json
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.cli import run
from genloom.errors import format_message
from genloom.evaluate.training_sources import find_training_sources
from genloom.model import load_model
from genloom.store.workspace import Workspace
from genloom.trust.manifests import get_sidecar_path

QUICK = [
    "--threads", "1", "--steps", "12", "--set", "network.base.width=16", "--set", "network.base.depth=1",
    "--set", "network.base.heads=2", "--set", "context_length=32", "--set", "batch_size=4",
    "--set", "plan.precision=float32",
]  # fmt: skip
REPLAY_OPTIONS = ["--prompt", "x", "--temperature", "0", "--steps-between", "3"]


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a folder was collected and a model trained, through the command line."""
    folder = tmp_path_factory.mktemp("stories")
    notes = folder / "my notes"
    notes.mkdir()
    for n, tale in enumerate(worlds.make_tales(40, seed=1, lines=30)):
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


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def run_and_read(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    capsys.readouterr()
    assert run(list(arguments)) == 0
    return capsys.readouterr()


def test_train_shows_the_estimate_and_the_actual_values_and_the_next_command(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run_and_read(capsys, "train", "my notes", "--name", "again", *QUICK)
    for words in ("parameters", "in 12 steps", "of memory", "± ", "bits per byte"):
        assert words in err
    assert f"Model again/1 is stored in {home / 'models/again/1'}" in out
    for words in ("forecast  ", "bits per byte", "training time", 'genloom generate again --prompt "…"'):
        assert words in out


def test_a_setting_that_is_no_unicode_is_an_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = Workspace(home).list_runs()
    assert run(["train", "my notes", *QUICK, "--set", "name=caf\udce9"]) == 2
    assert "[cli.not_unicode]" in capsys.readouterr().err
    assert Workspace(home).list_runs() == runs


def test_train_prints_json_for_scripts(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run_json(capsys, "train", "my notes", "--name", "scripted", *QUICK)
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
    assert "longer/1" in err
    assert err.count("\n") == 1
    facts = run_json(capsys, "train", "--resume", "longer", "--steps", "20", "--threads", "1")
    assert (facts["ref"], facts["fact"]["steps"]) == ("longer/2", 20)


def test_generate_shows_the_text_and_its_path(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    drafts = tmp_path / "drafts"
    options = ["--prompt", "The old", "--count", "3", "--seed", "7", "--max-tokens", "30"]
    out, _ = run_and_read(capsys, "generate", "my notes", *options, "--out", str(drafts))
    files = sorted(drafts.glob("*.txt"))
    assert len(files) == 3
    assert sorted(drafts.iterdir()) == sorted([*files, *(get_sidecar_path(file) for file in files)])  # their signatures
    for number, file in enumerate(files, start=1):
        assert f"── {number} of 3 · {file.stem} · {file}" in out
        assert file.read_text(encoding="utf-8").strip() in out
        assert file.read_text(encoding="utf-8").startswith("The old")
    facts = run_json(capsys, "generate", "my notes", *options)
    assert facts["model"] == "my notes/1"
    assert [Path(output["file"]).read_bytes() for output in facts["outputs"]] == [f.read_bytes() for f in files]
    for output in facts["outputs"]:
        assert output["text"] == output["prompt"] + output["written"]
        assert run_json(capsys, "generate", "--replay", output["id"])["identical"] is True


def test_prompts_are_read_from_a_file(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("\ufeffZoë\r\n\r\nNobody\r\n", encoding="utf-8")  # as Windows does
    prompts = ["--prompt", "A", "--prompts", str(tmp_path / "prompts.txt")]
    facts = run_json(capsys, "generate", "my notes", *prompts, "--max-tokens", "5")
    assert [output["prompt"] for output in facts["outputs"]] == ["A", "Zoë", "Nobody"]


def test_an_output_is_continued_and_so_is_its_continuation(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--max-tokens", "12", "--seed", "7"]
    (first,) = run_json(capsys, "generate", "my notes", "--prompt", "The old", *options)["outputs"]
    second, other = run_json(capsys, "generate", "my notes", "--continue-from", first["id"], "--count", "2", *options)[
        "outputs"
    ]
    assert second["text"] == first["text"] + second["written"]
    assert second["written"] != other["written"]
    assert run_json(capsys, "generate", "my notes", "--continue-from", second["id"], *options)["outputs"][0][
        "text"
    ].startswith(second["text"])
    assert run_json(capsys, "generate", "--replay", second["id"])["identical"] is True
    assert run(["generate", "my notes", "--continue-from", first["id"], "--prompt", "and"]) == 2
    assert "[generate.prompt_with_edit]" in capsys.readouterr().err
    Path(second["file"]).write_text("something else", encoding="utf-8")
    assert run(["generate", "my notes", "--continue-from", second["id"]]) == 2
    assert "[store.output_changed]" in capsys.readouterr().err
    copy = home.parent / "copy.txt"  # its record and its model are enough to write it again
    assert run_json(capsys, "generate", "--replay", second["id"], "--out", str(copy))["file"] == str(copy)
    assert copy.read_text(encoding="utf-8") == second["text"]
    assert run(["generate", "--replay", second["id"]]) == 2
    assert run(["generate", "--replay", second["id"], "--out", second["file"]]) == 0
    assert run(["generate", "--replay", second["id"]]) == 0
    assert run(["remove", "outputs", second["id"]]) == 0


def test_many_outputs_come_in_batches(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--count", "5", "--seed", "3", "--max-tokens", "8"]
    whole = run_json(capsys, "generate", "my notes", *options)["outputs"]
    monkeypatch.setattr("genloom.generate.engine.split_batches", _split_batches_of_two())
    parts = run_json(capsys, "generate", "my notes", *options)["outputs"]
    assert [output["text"] for output in parts] == [output["text"] for output in whole]
    assert len({output["id"] for output in whole + parts}) == 10


def _split_batches_of_two() -> Any:
    from genloom.generate.engine import split_batches

    return lambda request, batch_size: split_batches(request, 2)


def test_evaluate_reports_the_quality_of_a_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run_and_read(capsys, "evaluate", "my notes", "--samples", "3", "--max-tokens", "60")
    for words in (
        "my notes/1 on ", "bytes of held-out text (val):", "bits per byte (95 % interval", "n-gram baseline",
        "3 samples", "Copied from its training text, 'my notes':", "characters in a row",
    ):  # fmt: skip
        assert words in out
    assert re.search(r"^  distinct: words \d+%, runs of two \d+%, of three \d+%, of four \d+% ", out, re.MULTILINE)
    assert re.search(r"^  repeated: [\d.]+% of the runs of four in a sample; [\d.]+% are in others", out, re.MULTILINE)
    assert "Looking for copies" in err
    folder = home / "reports/my notes-1"
    assert f"Report and charts in {folder}" in out
    assert sorted(p.name for p in folder.iterdir()) == ["evaluation.json", "likelihood.png", "training.png"]
    facts = run_json(capsys, "evaluate", "my notes", "--samples", "3", "--max-tokens", "60", "--split", "test")
    assert facts["split"] == "test"
    assert facts["bits_per_byte"]["low"] <= facts["bits_per_byte"]["mean"] <= facts["bits_per_byte"]["high"]
    assert len(facts["copied"]["spans"]) == 3
    assert json.loads((folder / "evaluation.json").read_text())["split"] == "test"


def test_compare_shows_two_models(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(["train", "my notes", "--name", "other", "--seed", "5", *QUICK])
    chart = tmp_path / "chart.png"
    out, _ = run_and_read(
        capsys, "compare", "my notes/1", "other", "--prompt", "Zoë", "--max-tokens", "40", "--out", str(chart)
    )
    assert chart.read_bytes().startswith(b"\x89PNG")
    for words in ("── my notes/1: ", "── other/1: ", "my notes/1", f"Chart: {chart}"):
        assert words in out
    assert out.count("Zoë") >= 2
    facts = run_json(capsys, "compare", "my notes/1", "other", "--max-tokens", "40", "--out", str(tmp_path))
    assert facts["chart"] == str(tmp_path / "compare.png")
    assert facts["first"]["model"] == "my notes/1"


def test_the_battery_is_a_table_and_a_report(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run_and_read(capsys, "evaluate", "my notes", "--battery", "--limit", "4", "--tasks", "cloze, arithmetic")
    assert re.search(r"^cloze +of four words +\d+\.\d % +\d+\.\d to \d+\.\d +4 +25\.0 %$", out, re.MULTILINE)
    assert "my notes/1: cloze\nmy notes/1: arithmetic\n" in err
    report = home / "reports/my notes-1/battery.json"
    assert f"Report and charts in {report.parent}" in out
    facts = run_json(capsys, "evaluate", "my notes", "--battery", "--limit", "2")
    assert {score["task"] for score in facts["battery"]} == {"cloze", "choice", "arithmetic"}
    assert json.loads(report.read_text())["battery"] == facts["battery"]


def test_the_battery_compares_two_models(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["compare", "my notes", "my notes/1", "--battery", "--limit", "3"]
    out, err = run_and_read(capsys, *ask)
    assert "my notes/1 has no chat template" in err
    assert out.splitlines()[0].split() == [
        "task", "measure", "my", "notes/1", "my", "notes/1", "difference", "95", "%", "interval", "verdict"
    ]  # fmt: skip
    for line in out.splitlines()[1:]:
        assert "+0.0 %" in line
        assert line.endswith("no difference shown")
    facts = run_json(capsys, *ask)["battery"]
    assert {gap["first"]["task"] for gap in facts} == {"cloze", "choice", "arithmetic"}
    assert all(gap["first"] == gap["second"] for gap in facts)


def test_a_model_is_measured_on_the_version_of_the_data_it_was_trained_on(
    worlds: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    planned = worlds.build_job(worlds.create_dataset(workspace), 4)
    worlds.finish_run(workspace, planned)
    newer = worlds.create_dataset(workspace, seed=5)
    where = ["--samples", "1", "--max-tokens", "5", "--workspace", str(workspace.root)]
    assert planned.digest[:12] in run_json(capsys, "evaluate", "tales", *where)["dataset"]
    assert newer.digest[:12] in run_json(capsys, "evaluate", "tales", "--data", "tales", *where)["dataset"]


def test_copies_are_searched_in_the_training_data_of_the_model(
    worlds: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured on other data, a model that copies must not look innocent."""
    workspace = Workspace(tmp_path / "workspace")
    tales = worlds.create_dataset(workspace)
    worlds.finish_run(workspace, worlds.build_job(tales, 4))
    worlds.create_mixed_dataset(workspace, lines=20)
    ask = ["evaluate", "tales", "--samples", "2", "--max-tokens", "30", "--workspace", str(workspace.root)]
    own = run_json(capsys, *ask)
    other = run_json(capsys, *ask, "--data", "kinds")
    assert other["dataset"] != own["dataset"]
    assert other["copied"] == own["copied"]
    assert own["copied"]["searched"] == [f"tales@{tales.digest[:12]}"]
    assert own["copied"]["not_searched"] == []
    assert [Path(facts["folder"]).name for facts in (own, other)] == ["tales-1", "tales-1-on-kinds"]
    kept = json.loads((Path(own["folder"]) / "evaluation.json").read_text(encoding="utf-8"))
    assert kept["dataset"] == own["dataset"]
    shutil.rmtree(tales.folder)
    out, _ = run_and_read(capsys, *ask, "--data", "kinds")
    assert "Copied from its training text: unknown\n  tales/1 " in out
    gone = run_json(capsys, *ask, "--data", "kinds")["copied"]
    assert (gone["spans"], gone["searched"], len(gone["not_searched"])) == (None, [], 1)


def test_a_fine_tuned_model_can_copy_the_data_of_its_base(
    worlds: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    tales, few = worlds.create_dataset(workspace), worlds.create_dataset(workspace, "few", documents=18, seed=3)
    worlds.finish_run(workspace, worlds.build_job(tales, 4))
    here = ["--workspace", str(workspace.root)]
    assert run(["train", "few", "--from", "tales", "--steps", "2", "--threads", "1", *here]) == 0
    found = find_training_sources(workspace, load_model(workspace, "few"))
    assert [dataset.digest for dataset in found.datasets] == [few.digest, tales.digest]
    shutil.rmtree(few.folder)
    left = find_training_sources(workspace, load_model(workspace, "few"))
    assert [dataset.digest for dataset in left.datasets] == [tales.digest]
    assert left.missing == (format_message("evaluate.data_missing", model="few/1", data="few", digest=few.digest[:12]),)


def test_a_part_of_the_held_out_text_measures_like_all_of_it(
    worlds: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    worlds.finish_run(workspace, worlds.build_job(worlds.create_mixed_dataset(workspace), 1))
    ask = ["evaluate", "kinds", "--samples", "1", "--max-tokens", "5", "--workspace", str(workspace.root)]
    whole, part = (
        run_json(capsys, *ask, "--max-bytes", count)["ngram_baseline"]["bits_per_byte"]
        for count in ("1000000", "30000")
    )
    assert part["low"] < whole["mean"] < part["high"]
    assert part["count"] < whole["count"] / 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "my note"], "Did you mean 'my notes'?"),
        (["train", "--resume", "mynotes"], "Did you mean 'my notes'?"),
        (["train", "my notes", "--set", "plan.cooldwon=1"], "Did you mean 'cooldown'?"),
        (["train", "my notes", "--set", "width"], "[cli.bad_setting]"),
        (["train", "my notes", "--minutes", "1", "--steps", "3"], "--minutes"),
        (["train", "my notes", "--minutes", "-1"], "[cli.invalid_number]"),
        (["train", "my notes", "--name", "a/b"], "'/'"),
        (["train", "--resume", "my notes", "--minutes", "3"], "[api.resume_with_plan]"),
        (["generate"], "[cli.model_missing]"),
        (["generate", "my note"], "Did you mean 'my notes'?"),
        (["generate", "my notes", "--max-tokens", "0"], "[cli.invalid_integer]"),
        (["generate", "my notes", "--count", "0"], "[cli.invalid_integer]"),
        (["generate", "my notes", "--top-p", "7"], "[cli.invalid_number]"),
        (["generate", "my notes", "--prompts", "/no/such/file"], "/no/such/file"),
        (["generate", "my notes", "--prompts", "EMPTY"], "[cli.prompts_file_empty]"),
        (["generate", "my notes", "--stop", ""], "[api.empty_stop]"),
        (["generate", "icons", "--stop", "x"], "[api.stop_without_text]"),
        (["generate", "my notes", "--prompts", "/tmp"], "/tmp"),
        (["train", "my notes", "--recipe", "/no/such"], "/no/such"),
        (["train", "my notes", "--set", "network=foo"], "'foo'"),
        (["generate", "my notes", "--replay", "2026-01-01-000000"], "[cli.replay_with_options]"),
        (
            ["generate", "--replay", "2026-01-01-000000", *REPLAY_OPTIONS],
            "Remove --prompt and --steps-between and --temp",
        ),
        (["generate", "--replay", "2026-01-01-000000"], "'2026-01-01-000000'"),
        (["evaluate", "my notes", "--data", "yours"], "'yours'"),
        (["evaluate", "my notes", "--samples", "0"], "[cli.invalid_integer]"),
        (["evaluate", "my notes", "--battery", "--tasks", "chess"], "[evaluate.unknown_task]"),
        (["evaluate", "my notes", "--battery", "--tasks", ","], "[cli.no_tasks]"),
        (["evaluate", "my notes", "--battery", "--limit", "-1"], "[cli.invalid_integer]"),
        (["compare", "my notes", "other things"], "'other things'"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    def inventory() -> set[Path]:
        return {path for path in home.rglob("*") if path.suffix != ".draft"}

    (tmp_path / "empty").write_text("\n \n")
    before = inventory()
    capsys.readouterr()
    assert run([str(tmp_path / "empty") if argument == "EMPTY" else argument for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    error = err.splitlines()[-1]
    assert error.startswith("genloom: ")
    assert expected in error
    assert all(not line.startswith((" ", "genloom")) for line in err.splitlines()[:-1]), "notes on the work, no trace"
    assert inventory() == before


def test_text_is_streamed_in_chunks(
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


def test_a_model_is_fine_tuned_on_questions_and_answers(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": f"Who saw the {n}th boat?", "answer": f"Nobody saw number {n}."} for n in range(40)]
    (tmp_path / "talks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    collected = run_json(capsys, "collect", str(tmp_path / "talks.jsonl"), "--near-duplicates", "0", "--val", "0.2")
    assert collected["conversations"] == 40
    few = ["--steps", "3", "--threads", "1", "--set", "batch_size=2", "--set", "plan.precision=float32"]
    out, err = run_and_read(capsys, "train", "talks", "--from", "my notes", *few, "--set", "adapter.rank=4")
    assert re.search(r"[\d,]+ parameters, of which [\d,]+ are trained", err)
    assert re.search(r"before +after\n +bits per byte +[\d.]+ +[\d.]+\n +of general text +[\d.]+ +[\d.]+", out)
    full = run_json(capsys, "train", "talks", "--from", "talks", "--method", "full", *few)
    assert full["ref"] == "talks/2"
    assert full["fact"]["general_bits_per_byte"] > 0
    assert Workspace(home).get_model("talks/2").card["parents"][0]["ref"] == "talks/1"
