"""Removing: things go to the bin and back; what others depend on is refused; the ledger stays as it is."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import genloom as gl
from genloom.cli import run
from genloom.program import find_program
from genloom.store import manifest
from tests.errors import raises_code


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gl.Workspace:
    """A data set, two versions of a model of it, a finished and an unfinished run, and an output of each version."""
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
    ws = gl.Workspace(rater="mia")
    (tmp_path / "a.txt").write_text("The old king saw the red boat.\n" * 20)
    digest = ws.collect(tmp_path / "a.txt", name="notes", workers=1, val=0, test=0).digest
    parents: list[dict[str, str]] = []
    for _ in range(2):
        staged = ws.store.create_model("notes")
        with staged as folder:
            (folder / "weights.safetensors").write_bytes(b"w" * 2000)
            card = {"data": {"name": "notes", "digest": digest}, "parents": parents}
            (folder / "card.json").write_text(json.dumps(card))
        parents = [{"ref": staged.result.ref}]
        ws.store.save_output("boat", ".txt", {"model": staged.result.ref, "prompt": "x", "written": "boat"})
    finished, unfinished = ws.store.create_run("notes"), ws.store.create_run("other")
    (finished / "done.json").write_text('{"model": "notes/1"}')
    (unfinished / "job.toml").write_text(f'digest = "{digest}"\n[base]\nref = "notes/2"\n')
    return ws


def list_names(ws: gl.Workspace) -> dict[str, list[str]]:
    return {
        "data": [each.name for each in ws.datasets],
        "models": [each.ref for each in ws.models],
        "runs": [each.id for each in ws.runs],
        "outputs": [each.id for each in ws.outputs],
    }


def test_every_kind_is_removed_and_restored(ws: gl.Workspace) -> None:
    before = list_names(ws)
    for kind, names in before.items():
        entry = ws.remove(kind, names[-1], force=True)  # ty: ignore[invalid-argument-type]
        assert entry.bytes > 0
        assert names[-1] not in list_names(ws)[kind]
        assert [each.name for each in ws.bin] == [entry.name]
        ws.restore(entry.id)
        assert list_names(ws) == before
    assert ws.store.list_faults() == []


@pytest.mark.parametrize(
    ("kind", "name", "losses"),
    [
        ("data", "notes", ["notes/1, notes/2", "other"]),
        ("models", "notes/1", ["notes/2 remains", "1 output "]),
        ("models", "notes/2", ["notes means another version", "1 output ", "unfinished run"]),
        ("models", "notes", ["2 outputs ", "unfinished run"]),
        ("outputs", "rated", ["1 rating "]),
    ],
)
def test_what_others_depend_on_is_refused_with_what_would_be_lost(
    kind: Any, name: str, losses: list[str], ws: gl.Workspace
) -> None:
    if name == "rated":
        name = ws.outputs[0].id
        ws.outputs[0].rate(up=True)
    before = list_names(ws)
    with raises_code("api.still_needed") as raised:
        ws.remove(kind, name)
    message = str(raised.value).replace(ws.runs[1].id, "other")
    assert all(loss in message for loss in losses), message
    details = raised.value.fields["details"]
    assert len(details) >= len(losses)
    assert all(each["code"].startswith("loss_of_") and len(each) > 1 for each in details)  # for pages in other words
    assert list_names(ws) == before
    ws.remove(kind, name, force=True)
    assert list_names(ws) != before


def test_adapters_on_adapters_need_their_base_too(ws: gl.Workspace) -> None:
    parent = "notes/1"
    for name in ("lower", "upper"):
        staged = ws.store.create_model(name)
        with staged as folder:
            (folder / "adapter").mkdir()
            (folder / "adapter/weights.safetensors").write_bytes(b"w")
            (folder / "card.json").write_text(json.dumps({"parents": [{"ref": parent}]}))
        parent = staged.result.ref
    with raises_code("api.still_needed") as raised:
        ws.remove("models", "notes/1")
    (loss,) = [each for each in raised.value.fields["details"] if each["code"] == "loss_of_base"]
    assert loss["models"] == "lower/1, upper/1"


def test_forgetting_suggests_only_removals_that_are_left(ws: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    def forget(rater: str) -> str:
        capsys.readouterr()
        assert run(["forget", "icons", "--rater", rater]) == 0
        return capsys.readouterr().out.replace(find_program(), "genloom")

    used = [ws.outputs[0].rate(up=True, rater=rater).id for rater in ("ann", "ben", "cleo")]
    learned = {"model": "notes", "champion": "notes/1", "challenger": "notes/2", "digest": "", "receipt": "", "run": ""}
    ws.ledger.append("round", {**learned, "promote": False, "used": used})
    ws.promote("notes", 1)
    assert "genloom remove models notes/2 --force && genloom remove --empty-bin" in forget("ann")
    ws.remove("models", "notes/2", force=True)
    shown = forget("ben")
    assert "notes/2" in shown
    assert "remove models" not in shown
    assert "genloom remove --empty-bin" in shown
    ws.empty_bin()
    shown = forget("cleo")
    assert "notes/2" in shown
    assert "genloom remove" not in shown


def test_what_nothing_depends_on_is_removed_at_once(ws: gl.Workspace) -> None:
    for kind, name in (("outputs", "last"), ("runs", ws.runs[0].id), ("runs", "other")):
        ws.remove(kind, name)
    assert (len(ws.runs), len(ws.outputs), len(ws.bin)) == (0, 1, 3)


def test_ratings_of_a_removed_output_stay_in_the_ledger(ws: gl.Workspace) -> None:
    first, second = ws.outputs
    event = first.rate(up=True)
    ws.choose(first, second, "a")
    ws.remove("outputs", first.id, force=True)
    ws.empty_bin()
    assert ws.verify_ledger() is not None
    assert event.id in [row["id"] for row in ws.export_ratings("jsonl")]
    assert list(ws.export_ratings("dpo")) == []


def test_the_name_of_a_model_means_the_last_promoted_version_that_is_there(ws: gl.Workspace) -> None:
    ws.promote("notes", 1)
    ws.promote("notes", 2)
    ws.remove("models", "notes/2", force=True)
    assert ws.model("notes").ref == "notes/1"
    ws.restore("notes/2")
    assert ws.model("notes").ref == "notes/2"
    ws.remove("models", "notes/1", force=True)
    ws.remove("models", "notes/2", force=True)
    assert ws.bin[-1].name == "notes/2"
    with raises_code("store.in_bin", entry="notes/2"):
        ws.model("notes")


@pytest.mark.parametrize("damaged", ["2/card.json", "champion.json"])
def test_another_version_can_be_promoted_where_the_active_one_is_damaged(
    ws: gl.Workspace, capsys: pytest.CaptureFixture[str], damaged: str
) -> None:
    ws.promote("notes", 2)
    (ws.folder / "models" / "notes" / damaged).write_text("{}")
    assert run(["promote", "notes", "--to", "1", "--workspace", str(ws.folder)]) == 0
    assert ws.model("notes").ref == "notes/1"
    assert "notes/1" in capsys.readouterr().out


def test_only_the_active_version_learns(ws: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["learn", "notes/1", "--workspace", str(ws.folder)]) == 2
    assert "[learn.not_active]" in capsys.readouterr().err
    assert run(["learn", "notes/2", "--workspace", str(ws.folder)]) == 2
    assert "[rate.too_few_preferences]" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["models", "data"])
def test_the_cure_of_a_damaged_version_removes_it_alone(ws: gl.Workspace, kind: str) -> None:
    record = next((ws.folder / kind / "notes").glob("1/card.json" if kind == "models" else "*/manifest.json"))
    version = f"notes/{record.parent.name[:12]}"
    record.write_text("{")
    with raises_code("store.damaged") as caught:
        manifest.read_json(record)
    assert f"genloom remove {kind} {version} --force" in str(caught.value)
    assert run(["remove", kind, version, "--force", "--workspace", str(ws.folder)]) == 0
    assert not record.parent.exists()


@pytest.mark.parametrize("kind", ["outputs", "conversations"])
def test_the_cure_of_a_damaged_record_removes_it_alone(ws: gl.Workspace, kind: str) -> None:
    """Its folder has those of all others of the day."""
    folder = ws.folder / "conversations" if kind == "conversations" else ws.folder / "outputs" / "2026-11-30"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "2026-11-30-aaaaaa.json").write_text("{")
    (fault,) = ws.store.list_faults()
    assert f"genloom remove {kind} 2026-11-30-aaaaaa --force" in fault
    assert run(["remove", kind, "2026-11-30-aaaaaa", "--force", "--workspace", str(ws.folder)]) == 0
    assert ws.store.list_faults() == []


def test_an_older_version_of_a_data_set_is_removed_by_its_digest(ws: gl.Workspace, tmp_path: Path) -> None:
    old = ws.dataset("notes").digest
    (tmp_path / "b.txt").write_text("A young crow sang to the sea.\n" * 20)
    new = ws.collect(tmp_path / "b.txt", name="notes", workers=1, val=0, test=0).digest
    ws.remove("data", f"notes/{old[:12]}", force=True)
    assert [path.name for path in (ws.folder / "data" / "notes").iterdir()] == [new]
    with raises_code("api.unknown_data_version"):
        ws.remove("data", f"notes/{old[:12]}")


def test_the_source_of_an_edit_goes_with_the_last_output_of_it(ws: gl.Workspace) -> None:
    digest = ws.store.save_original(b"a photo", ".png")
    records = [{"model": "notes/1", "request": {"edit": {"source": digest}}}] * 2
    first, second = [ws.store.save_output("x", ".txt", record) for record in records]
    ws.remove("outputs", first)
    assert ws.store.load_original(digest) == b"a photo"
    ws.remove("outputs", second)
    with raises_code("store.original_gone"):
        ws.store.load_original(digest)
    ws.restore(second)
    assert ws.store.load_original(digest) == b"a photo"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["models", "notse"], "[store.unknown_name_near]"),
        (["models", "icons"], "[api.built_in_removal]"),
        (["models", "../home"], "[store.bad_name_ends]"),
        (["data", "../models"], "[store.bad_name_ends]"),
        (["outputs", "../../a"], "[store.unknown_id]"),
        (["runs", "nothing"], "[store.unknown_name]"),
        (["conversations", "nothing"], "[store.nothing_known]"),
        (["models"], "[cli.remove_without_name]"),
        (["--restore", "nothing"], "[store.nothing_known]"),
        (["models", "notes/1", "--empty-bin"], "[cli.remove_one_thing]"),
    ],
)
def test_wrong_use_is_one_line_and_removes_nothing(
    arguments: list[str], code: str, ws: gl.Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list_names(ws)
    assert run(["remove", *arguments]) == 2
    err = capsys.readouterr().err
    assert code in err
    assert err.count("\n") == 1
    assert list_names(ws) == before


def test_the_verb_names_the_cure_and_the_sizes(ws: gl.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["remove", "runs", "notes", "other"]) == 0
    out = capsys.readouterr().out
    assert "genloom remove --empty-bin" in out
    run_id = ws.bin[0].name
    assert f"genloom remove --restore {run_id}" in out
    assert run(["list"]) == 0
    assert "bin (2, " in capsys.readouterr().out
    assert run(["remove", "--restore", run_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["restored"]["name"] == run_id
    assert run(["remove", "--empty-bin", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed"] > 0
    assert ws.bin == []


@pytest.mark.parametrize(
    ("kind", "names"), [("models", ["notes/1", "notes/9"]), ("outputs", ["last", "nothing"]), ("runs", ["other", "x"])]
)
def test_of_several_names_all_are_removed_or_none(kind: str, names: list[str], ws: gl.Workspace) -> None:
    before = list_names(ws)
    assert run(["remove", kind, *names, "--force"]) == 2
    assert list_names(ws) == before
    assert ws.bin == []


@pytest.mark.parametrize("file", ["run.json", "done.json"])
def test_a_damaged_run_is_removed_by_its_id(ws: gl.Workspace, file: str) -> None:
    run_id = ws.runs[0].id
    (ws.folder / "runs" / run_id / file).write_text("{cut")
    assert run(["remove", "runs", run_id, "--force"]) == 0
    assert ws.store.list_faults() == []
    assert [entry.name for entry in ws.bin] == [run_id]


def test_a_name_given_twice_is_removed_once(ws: gl.Workspace) -> None:
    num_outputs = len(ws.outputs)
    assert run(["remove", "outputs", "last", "last"]) == 0
    assert len(ws.outputs) == num_outputs - 1


KILLED = """
import os, signal, sys
import genloom
rename, calls = os.rename, iter(range(100))
def die(*arguments):
    if next(calls) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*arguments)
os.rename = die
genloom.Workspace().remove("outputs", sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("fatal", range(4))
def test_a_killed_removal_leaves_the_output_in_its_place_or_in_the_bin(fatal: int, ws: gl.Workspace) -> None:
    before = list_names(ws)["outputs"]
    ended = subprocess.run([sys.executable, "-c", KILLED, str(fatal), before[0]])
    assert ended.returncode in (-signal.SIGKILL, 0)
    assert sorted([*list_names(ws)["outputs"], *(entry.name for entry in ws.bin)]) == before
    if ws.bin:
        ws.restore(before[0])
    assert list_names(ws)["outputs"] == before


@pytest.mark.parametrize(("name", "kind"), [("tales/2", "models"), ("2026-11-30-abcdef", "runs"), ("tales", "data")])
def test_a_name_without_its_kind_is_told_the_whole_command(
    name: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["remove", name, "--workspace", str(tmp_path)]) == 2
    assert f"remove {kind} {name}" in capsys.readouterr().err


def test_the_bin_is_listed_by_both_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["remove", "--workspace", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert run(["list", "bin", "--workspace", str(tmp_path)]) == 0
    assert capsys.readouterr().out == listed
    assert run(["list", "bin", "--json", "--workspace", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["bin"] == []
