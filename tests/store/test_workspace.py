"""The workspace shows complete entries, reports damaged ones, and never mixes two writers."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.store import model_folder
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from tests.errors import raises_code

_COLUMNS = {
    "id": pa.string(),
    "text": pa.string(),
    "source": pa.string(),
    "licence": pa.string(),
    "split": pa.string(),
    "language": pa.string(),
    "quality": pa.float32(),
    "bytes": pa.int64(),
}


def fill_data(folder: Path, texts: list[str], parts: int = 1) -> None:
    rows = [
        {
            "id": f"{n:064x}",
            "text": text,
            "source": f"{n}.txt",
            "licence": "CC0-1.0",
            "split": ("train", "train", "val", "test")[n % 4],
            "language": "en",
            "quality": 0.5,
            "bytes": len(text.encode()),
        }
        for n, text in enumerate(texts)
    ]
    for part in range(parts):
        table = pa.Table.from_pylist(rows[part::parts], schema=pa.schema(_COLUMNS))
        pq.write_table(table, folder / f"part-{part:05}.parquet")
    (folder / "manifest.json").write_text(json.dumps({"documents": len(texts)}))


def make_data(workspace: Workspace, name: str, texts: list[str]) -> Dataset:
    staged = workspace.create_dataset(name)
    with staged as folder:
        fill_data(folder, texts)
    return staged.result


def fill_model(folder: Path, weights: bytes = b"weights") -> None:
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "job.toml").write_text("steps = 1\n")
    (folder / "codec").mkdir()
    (folder / "codec" / "codec.json").write_text("{}")
    (folder / "CARD.md").write_text("# notes\n")
    (folder / "card.json").write_text(json.dumps({"network": "transformer"}))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


class TestWorkspace:
    def test_the_option_precedes_the_environment_and_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("GENLOOM_HOME", raising=False)
        assert Workspace.from_option().root == tmp_path / "genloom-workspace"
        monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
        assert Workspace.from_option().root == tmp_path / "home"
        assert Workspace.from_option("here").root == tmp_path / "here"
        assert list(tmp_path.iterdir()) == [], "reading creates nothing"

    def test_a_file_is_no_workspace(self, tmp_path: Path) -> None:
        (tmp_path / "f").touch()
        with raises_code("store.workspace_is_file", path=tmp_path / "f"):
            Workspace.from_option(str(tmp_path / "f"))


class TestDatasets:
    def test_what_is_written_is_read_by_split(self, workspace: Workspace) -> None:
        texts = ["one", "zwei ☃", "three", "four", "five"]
        staged = workspace.create_dataset("notes")
        with staged as folder:
            fill_data(folder, texts, parts=2)
        data = workspace.get_dataset("notes")
        assert data == staged.result
        assert data.folder.name == data.digest == data.manifest["digest"]
        assert sorted(item.value for item in data.iter_documents("train")) == ["five", "one", "zwei ☃"]
        assert [item.value for item in data.iter_documents("val")] == ["three"]
        item = next(data.iter_documents("test"))
        assert (item.value, item.source, item.licence) == ("four", "3.txt", "CC0-1.0")
        assert item.meta == {"id": f"{3:064x}", "language": "en", "quality": 0.5, "bytes": 4}
        assert data.count_bytes("train") == len("five" + "one") + len("zwei ☃".encode())
        assert [data.count_documents(split) for split in ("train", "val", "test")] == [3, 1, 1]
        data.verify()

    def test_more_documents_than_one_batch_keep_their_order(self, workspace: Workspace) -> None:
        data = make_data(workspace, "many", [f"document {n}" for n in range(1500)])
        expected = [f"document {n}" for n in range(1500) if n % 4 < 2]
        assert [item.value for item in data.iter_documents("train")] == expected

    def test_the_newest_version_wins_and_old_ones_stay(self, workspace: Workspace) -> None:
        first = make_data(workspace, "notes", ["a"])
        second = make_data(workspace, "notes", ["b"])
        assert first.digest != second.digest
        assert workspace.get_dataset("notes").digest == second.digest
        assert first.folder.is_dir()

    def test_the_same_content_again_is_the_same_folder_and_the_newest(self, workspace: Workspace) -> None:
        first = make_data(workspace, "notes", ["a"])
        make_data(workspace, "notes", ["b"])
        again = make_data(workspace, "notes", ["a"])
        assert again.folder == first.folder
        assert again.created > first.created
        assert workspace.get_dataset("notes").digest == first.digest
        assert len(list((workspace.root / "data" / "notes").iterdir())) == 2

    def test_a_failed_writer_leaves_nothing(self, workspace: Workspace) -> None:
        with pytest.raises(RuntimeError, match="stop"), workspace.create_dataset("notes") as folder:
            fill_data(folder, ["a"])
            raise RuntimeError("stop")
        with raises_code("store.nothing_known", kind="data set", name="notes"):
            workspace.get_dataset("notes")
        assert workspace.list_leftovers() == []

    def test_a_folder_without_manifest_is_not_there(self, workspace: Workspace) -> None:
        data = make_data(workspace, "notes", ["a"])
        (data.folder / "manifest.json").unlink()
        with raises_code("store.nothing_known", kind="data set", name="notes"):
            workspace.get_dataset("notes")
        assert workspace.list_datasets() == []

    def test_an_unknown_name_suggests_the_nearest(self, workspace: Workspace) -> None:
        make_data(workspace, "shakespeare", ["a"])
        with raises_code("store.unknown_name_near", nearest="shakespeare"):
            workspace.get_dataset("shakespear")

    @pytest.mark.parametrize("content", ["", "{", "[]", "\xff", '{"format": 1}', '{"format": 1, "digest": 3}'])
    def test_a_damaged_manifest_is_named_with_the_cure(self, workspace: Workspace, content: str) -> None:
        data = make_data(workspace, "notes", ["a"])
        make_data(workspace, "fine", ["a"])
        (data.folder / "manifest.json").write_text(content, encoding="latin-1")
        with raises_code("store.damaged", path=data.folder / "manifest.json"):
            workspace.get_dataset("notes")
        assert [d.name for d in workspace.list_datasets()] == ["fine"]
        (fault,) = workspace.list_faults()
        assert fault.startswith(str(data.folder / "manifest.json"))

    @pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
    def test_a_manifest_that_is_no_file_is_not_waited_for(self, workspace: Workspace, make: Any) -> None:
        data = make_data(workspace, "notes", ["a"])
        path = data.folder / "manifest.json"
        path.unlink()
        make(path)
        with raises_code("store.damaged", path=path):
            workspace.get_dataset("notes")
        assert workspace.list_datasets() == []
        assert len(workspace.list_faults()) == 1

    def test_a_newer_format_asks_for_an_upgrade(self, workspace: Workspace) -> None:
        data = make_data(workspace, "notes", ["a"])
        (data.folder / "manifest.json").write_text(json.dumps(data.manifest | {"format": 99}))
        with raises_code("store.newer_format", format=99):
            workspace.get_dataset("notes")

    def test_a_damaged_part_is_named(self, workspace: Workspace) -> None:
        data = make_data(workspace, "notes", ["a" * 100])
        part = data.folder / "part-00000.parquet"
        part.write_bytes(part.read_bytes()[:50])
        with raises_code("store.damaged", path=part):
            list(data.iter_documents("train"))
        with raises_code("store.damaged", path=part) as error:
            data.verify()
        assert "50 bytes" in error.value.fields["reason"]
        part.unlink()
        with raises_code("store.damaged", path=part, reason="the file is missing"):
            data.verify()


class TestModels:
    def test_versions_count_up_and_can_be_named(self, workspace: Workspace) -> None:
        for weights in (b"one", b"two"):
            with workspace.create_model("notes") as folder:
                fill_model(folder, weights)
        assert workspace.get_model("notes").version == 2
        first = workspace.get_model("notes/1")
        assert first.ref == "notes/1"
        assert first.card["network"] == "transformer"
        assert first.card["files"]["weights.safetensors"]["bytes"] == 3
        assert [m.ref for m in workspace.list_models()] == ["notes/1", "notes/2"]
        assert not (workspace.root / "models" / "notes" / "3").exists()

    def test_listing_reads_the_folder_of_a_model_once(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for weights in (b"one", b"two", b"three"):
            with workspace.create_model("notes") as folder:
                fill_model(folder, weights)
        folders: list[Path] = []

        def list_versions(folder: Path) -> list[int]:
            folders.append(folder)
            return model_folder.list_versions(folder)

        monkeypatch.setattr("genloom.store.workspace.list_versions", list_versions)
        assert [m.version for m in workspace.list_models()] == [1, 2, 3]
        assert folders == [workspace.root / "models" / "notes"]

    def test_the_digest_says_what_the_model_is_and_no_more(self, workspace: Workspace) -> None:
        def digest(change: str | None = None) -> str:
            staged = workspace.create_model("notes")
            with staged as folder:
                fill_model(folder)
                if change:
                    (folder / change).write_text("changed")
            return staged.result.digest

        plain = digest()
        assert digest() == digest("CARD.md") == plain
        assert len({plain, digest("weights.safetensors"), digest("job.toml"), digest("codec/codec.json")}) == 4

    def test_damaged_weights_are_named(self, workspace: Workspace) -> None:
        with workspace.create_model("notes") as folder:
            fill_model(folder)
        model = workspace.get_model("notes")
        model.verify()
        (model.folder / "weights.safetensors").write_bytes(b"Weights")
        with raises_code("store.damaged", path=model.folder / "weights.safetensors"):
            model.verify()

    def test_a_card_that_points_out_of_its_folder_is_refused(self, workspace: Workspace) -> None:
        with workspace.create_model("notes") as folder:
            fill_model(folder)
        model = workspace.get_model("notes")
        card = model.card | {"files": {"../../../secret": {"bytes": 1, "sha256": "0" * 64}}}
        (model.folder / "card.json").write_text(json.dumps(card))
        with raises_code("store.damaged", path=model.folder / "../../../secret"):
            workspace.get_model("notes").verify()

    @pytest.mark.parametrize(
        ("ref", "code"),
        [
            ("nots", "unknown_name_near"),
            ("notes/7", "no_such_version"),
            ("notes/new", "bad_model_ref"),
            ("notes/²", "bad_model_ref"),
            ("../notes", "bad_name_ends"),
        ],
    )
    def test_invalid_refs_are_refused(self, workspace: Workspace, ref: str, code: str) -> None:
        with workspace.create_model("notes") as folder:
            fill_model(folder)
        with raises_code(f"store.{code}"):
            workspace.get_model(ref)

    def test_a_writer_that_forgets_the_card_is_our_bug(self, workspace: Workspace) -> None:
        with pytest.raises(AssertionError, match=r"card\.json"), workspace.create_model("notes"):
            pass
        assert workspace.list_models() == []
        assert workspace.list_leftovers() == []


_CONCURRENT_WRITER = """
import json, sys
from pathlib import Path
from genloom.store.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
for n in range(8):
    with workspace.create_model("notes") as folder:
        (folder / "weights.safetensors").write_text(f"{sys.argv[2]} {n}")
        (folder / "card.json").write_text(json.dumps({"writer": sys.argv[2], "n": n}))
    workspace.save_output(sys.argv[2], ".txt", {"row": n})
    workspace.create_run("notes")
"""


def test_two_processes_never_share_a_version_a_run_or_an_output(workspace: Workspace) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _CONCURRENT_WRITER, str(workspace.root), who]) for who in ("a", "b")
    ]
    assert [writer.wait(timeout=600) for writer in writers] == [0, 0]
    models = workspace.list_models()
    assert [model.version for model in models] == list(range(1, 17))
    assert {(m.card["writer"], m.card["n"]) for m in models} == {(who, n) for who in "ab" for n in range(8)}
    for model in models:
        assert (model.folder / "weights.safetensors").read_text() == f"{model.card['writer']} {model.card['n']}"
    assert sorted(workspace.get_output(o)[0].read_text() for o in workspace.list_outputs()) == ["a"] * 8 + ["b"] * 8
    assert len(workspace.list_runs()) == 16
    assert workspace.list_faults() == workspace.list_leftovers() == []


class TestRuns:
    def test_a_run_is_found_by_name_and_by_id(self, workspace: Workspace) -> None:
        first, second = workspace.create_run("notes"), workspace.create_run("notes")
        assert first.name < second.name
        assert workspace.get_run("notes").folder == second
        assert workspace.get_run(first.name).folder == first
        assert [run.id for run in workspace.list_runs()] == [first.name, second.name]
        with raises_code("store.unknown_name_near", kind="run", nearest="notes"):
            workspace.get_run("note")

    def test_a_damaged_run_is_reported_and_the_others_stay(self, workspace: Workspace) -> None:
        first, second = workspace.create_run("a"), workspace.create_run("b")
        (first / "run.json").write_text("{}")
        assert [run.folder for run in workspace.list_runs()] == [second]
        (fault,) = workspace.list_faults()
        assert fault.startswith(str(first / "run.json"))

    def test_a_damaged_done_json_costs_its_run_only(self, workspace: Workspace) -> None:
        first, second = workspace.create_run("a"), workspace.create_run("b")
        (first / "done.json").write_text("{cut")
        assert [run.id for run in workspace.list_runs()] == [second.name]
        (fault,) = workspace.list_faults()
        assert str(first / "done.json") in fault

    @pytest.mark.parametrize("file", ["run.json", "done.json"])
    def test_a_damaged_run_is_no_unknown_one_and_the_cure_names_it(self, workspace: Workspace, file: str) -> None:
        damaged = workspace.create_run("a")
        workspace.create_run("b")
        (damaged / file).write_text("{cut")
        for name in (damaged.name, *(["a"] if file == "done.json" else [])):
            with raises_code("store.damaged", path=damaged / file) as caught:
                workspace.get_run(name)
            assert f"genloom remove runs {damaged.name} --force" in str(caught.value)


class TestOutputs:
    def test_content_and_record_come_back(self, workspace: Workspace) -> None:
        output = workspace.save_output("On the sea ☃", ".txt", {"model": "notes/1", "prompt": "On \udc80"})
        path, record = workspace.get_output(output)
        assert path.read_text() == "On the sea ☃"
        assert path.name == f"{output}.txt"
        assert record["model"] == "notes/1"
        assert record["prompt"] == "On \udc80"
        assert record["id"] == output

    def test_a_value_can_be_a_json_file(self, workspace: Workspace) -> None:
        outputs = [workspace.save_output(json.dumps([n]), ".json", {"medium": "design"}) for n in range(2)]
        assert workspace.list_outputs() == outputs
        for n, (path, record) in enumerate(workspace.list_records()):
            assert json.loads(path.read_text()) == [n]
            assert (path.suffix, record["id"], record["medium"]) == (".json", outputs[n], "design")
        assert workspace.list_faults() == []

    def test_ids_sort_in_the_order_made(self, workspace: Workspace) -> None:
        made = [workspace.save_output(bytes([n]), "bin", {}) for n in range(20)]
        assert workspace.list_outputs() == made
        assert [workspace.get_output(o)[0].read_bytes() for o in made] == [bytes([n]) for n in range(20)]

    def test_an_output_without_its_record_is_not_there(self, workspace: Workspace) -> None:
        output = workspace.save_output("x", ".txt", {})
        path, _ = workspace.get_output(output)
        path.with_suffix(".json").unlink()
        assert workspace.list_outputs() == []
        with raises_code("store.nothing_known", kind="output"):
            workspace.get_output(output)

    @pytest.mark.parametrize("output", ["", "../../etc/passwd", "2026-11-21-g00000"])
    def test_unknown_ids_read_nothing(self, workspace: Workspace, output: str) -> None:
        with raises_code("store.nothing_known", kind="output"):
            workspace.get_output(output)

    def test_a_record_can_not_point_elsewhere(self, workspace: Workspace) -> None:
        output = workspace.save_output("x", ".txt", {})
        path, record = workspace.get_output(output)
        (workspace.root / "secret").write_text("s")
        del record["digest"]  # as in records of earlier versions
        path.with_suffix(".json").write_text(json.dumps(record | {"file": "../../secret"}))
        with raises_code("store.damaged", reason="the output it describes is missing"):
            workspace.get_output(output)
        fine = workspace.save_output("y", ".txt", {})
        assert [path.stem for path, _ in workspace.list_records()] == [fine]
        (fault,) = workspace.list_faults()
        assert "the output it describes is missing" in fault

    def test_the_newest_is_the_one_made_last_whatever_the_clock_says(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert workspace.get_newest_output() == ""
        for day in (20, 3, 11):
            monkeypatch.setattr(
                "genloom.store.output_files.get_now", lambda day=day: datetime(2026, 11, day, tzinfo=UTC)
            )
            output = workspace.save_output("x", ".txt", {})
            assert workspace.get_newest_output() == output
        assert [record["sequence"] for _, record in workspace.list_records()] == [2, 3, 1]
        for damage in ("", "{}", '{"id": "../x", "sequence": 9}'):  # then the records are asked
            (workspace.root / "outputs" / "newest.json").write_text(damage)
            assert workspace.get_newest_output() == output
        assert workspace.get_output(workspace.save_output("y", ".txt", {}))[1]["sequence"] == 4

    def test_a_clock_outside_the_calendar_is_one_sentence(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("genloom.store.clock.datetime", FarDatetime)
        with raises_code("store.clock_outside_calendar"):
            workspace.save_output("x", ".txt", {})


class FarDatetime(datetime):
    """A clock in the year 10,000."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.fromtimestamp(253_402_300_800, tz)


def test_the_newest_data_set_is_the_one_collected_last(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for day, text in ((20, "one"), (3, "two"), (11, "one"), (2, "one")):
        monkeypatch.setattr("genloom.store.manifest.get_now", lambda day=day: datetime(2026, 11, day, tzinfo=UTC))
        made = make_data(workspace, "notes", [text] * 4)
        assert workspace.get_dataset("notes").digest == made.digest


def test_the_store_starts_without_torch() -> None:
    code = "import sys, genloom.store.workspace; sys.exit('torch' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", ["data", "models"])
def test_what_was_killed_before_it_was_named_is_not_listed(kind: str, tmp_path: Path) -> None:
    """A process that dies between the manifest and the renaming leaves a draft, which is neither there nor damaged."""
    draft = tmp_path / kind / "notes" / ".0123456789ab.draft"
    draft.mkdir(parents=True)
    (draft / {"data": "manifest.json", "models": "card.json"}[kind]).write_text("{}")
    workspace = Workspace(tmp_path)
    assert workspace.list_faults() == []
    assert workspace.list_datasets() == workspace.list_models() == []
    assert workspace.list_leftovers() == [draft]
