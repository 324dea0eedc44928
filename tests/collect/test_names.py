"""Files whose names are not UTF-8 are collected in every locale, under an escaped name."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from genloom.collect import Report, collect, summarize_report
from genloom.collect.slug import decode_lossy, escape_name
from genloom.store.dataset_removal import has_document, remove_documents
from genloom.store.workspace import Workspace
from tests.errors import raises_code

ODD = os.fsdecode(b"bad\xff\xfename")
ODD_ESCAPED = "bad\\xff\\xfename"
GREAT = os.fsdecode("größe".encode())


def text(number: int) -> str:
    return f"Document number {number} says something else than all others do: {number * number}."


def folder_of_texts(parent: Path, name: str) -> Path:
    """Make a folder in which every file has this name; skip the test if the disk does not allow it."""
    folder = parent / "notes"
    try:
        (folder / name).mkdir(parents=True)
    except OSError:
        pytest.skip("this disk takes UTF-8 names only")
    (folder / f"{name}.txt").write_text(text(1))
    (folder / name / f"{name}.md").write_text(text(2))
    (folder / name / f"LICENSE-{name}.txt").write_text("Do what you like with this, and be sure to say whose it was.")
    (folder / f"{name}.jsonl").write_text(json.dumps({"text": text(3)}))
    with (folder / f"{name}.parquet").open("wb") as file:
        pq.write_table(pa.table({"text": [text(4)]}), file)
    (folder / f"{name}.doc").write_bytes(b"x")
    (folder / f"{name}-nothing.txt").touch()
    (folder / f"{name}-broken.parquet").write_bytes(b"x")
    return folder


def run(source: Path, workspace: Workspace, options: Mapping[str, Any] | None = None) -> Report:
    *_, last = collect([source], workspace, "notes", options)
    assert last.report is not None
    return last.report


@pytest.mark.parametrize(("name", "escaped"), [(ODD, ODD_ESCAPED), (GREAT, "größe")])
def test_texts_are_collected_under_escaped_names(tmp_path: Path, name: str, escaped: str) -> None:
    workspace = Workspace(tmp_path / "workspace")
    report = run(folder_of_texts(tmp_path, name), workspace)
    dataset = workspace.get_dataset("notes")
    dataset.verify()
    found = {item.source: item for item in dataset.iter_documents("train")}
    held = {item.source for split in ("val", "test") for item in dataset.iter_documents(split)}
    sources = {f"{escaped}.txt", f"{escaped}/{escaped}.md", f"{escaped}.jsonl:1", f"{escaped}.parquet:1"}
    assert {*found, *held} == {f"notes/{source}" for source in sources}
    assert report.licences == {"unknown": 3, f"see LICENSE-{escaped}.txt": 1}
    skipped = {f"notes/{escaped}{end}" for end in (".doc", "-nothing.txt", "-broken.parquet")}
    assert {note["source"] for note in dataset.manifest["notes"] if note["skipped"]} == skipped
    card = (dataset.folder / "CARD.md").read_text(encoding="utf-8")
    assert all(source in card for source in skipped)
    assert all(source in "\n".join(summarize_report(report)) for source in skipped)


def test_a_document_of_such_a_file_can_be_removed(tmp_path: Path) -> None:
    workspace, folder = Workspace(tmp_path / "workspace"), folder_of_texts(tmp_path, ODD)
    first = run(folder, workspace, {"val": 0, "test": 0})
    assert run(folder, workspace, {"val": 0, "test": 0}).digest == first.digest
    dataset = workspace.get_dataset("notes")
    (item,) = (item for item in dataset.iter_documents("train") if item.source == f"notes/{ODD_ESCAPED}.txt")
    assert has_document(dataset, item.meta["id"])
    left = remove_documents(workspace, dataset, [item.meta["id"]])
    assert item.source not in {item.source for item in left.iter_documents("train")}
    (folder / f"{ODD}-more.txt").write_text(text(9))
    assert run(folder, workspace, {"val": 0, "test": 0}).documents_kept == first.documents_kept + 1


@pytest.mark.parametrize("name", [ODD, ODD + ".txt"])
def test_a_source_of_such_a_name(tmp_path: Path, name: str) -> None:
    folder_of_texts(tmp_path, ODD).rename(tmp_path / ODD)
    source = tmp_path / ODD if name == ODD else tmp_path / ODD / name
    workspace = Workspace(tmp_path / "workspace")
    run(source, workspace)
    assert workspace.get_dataset("notes").manifest["sources_given"] == [escape_name(name)]
    with raises_code("collect.no_such_source") as caught:
        run(tmp_path / f"{ODD}-gone", workspace)
    assert caught.value.fields["source"].endswith(f"{ODD_ESCAPED}-gone")


# A table is text, and cannot name a file whose name is not.


@pytest.mark.parametrize(
    ("name", "read", "in_table"), [(ODD, "bad name", "a caption in a table"), (GREAT, "größe", "a caption in a table")]
)
def test_pictures_and_their_captions(tmp_path: Path, name: str, read: str, in_table: str) -> None:
    folder = folder_of_texts(tmp_path, name)
    for number, file in enumerate((f"red bird {name}.png", f"{name}/{name}.png", f"told {name}.png")):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / file)
    (folder / f"told {name}.txt").write_text("a caption beside it")
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file_name", "text"), (escape_name(f"{name}/{name}.png"), "a caption in a table")])
    workspace = Workspace(tmp_path / "workspace")
    run(folder, workspace, {"medium": "image", "val": 0, "test": 0})
    found = {item.source: item.meta["caption"] for item in workspace.get_dataset("notes").iter_documents("train")}
    escaped = escape_name(name)
    captions = {f"red bird {escaped}.png": f"red bird {read}"}
    captions |= {f"{escaped}/{escaped}.png": in_table, f"told {escaped}.png": "a caption beside it"}
    assert found == {f"notes/{file}": caption for file, caption in captions.items()}


def test_the_locale_makes_no_difference(tmp_path: Path) -> None:
    folder_of_texts(tmp_path, ODD)
    folder_of_texts(tmp_path, GREAT)
    arguments = ["collect", str(tmp_path / "notes"), "--json", "--workspace"]
    digests = []
    for number, locale in enumerate(({}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})):
        command = [
            sys.executable,
            "-c",
            "from genloom.cli import main; main()",
            *arguments,
            str(tmp_path / f"w{number}"),
        ]
        done = subprocess.run(command, env={**os.environ, **locale}, capture_output=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr
        digests.append(json.loads(done.stdout)["digest"])
    assert digests[0] == digests[1]


def test_lone_surrogates_in_json_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "good.jsonl").write_text('{"text": "some \\ud800 text", "license": "my \\ud800 own"}')
    (tmp_path / "notes" / "bad.jsonl").write_text('{"odd \\ud800 column": 1}')
    workspace = Workspace(tmp_path / "workspace")
    assert run(tmp_path / "notes", workspace).licences == {"my ? own": 1}
    bad, taken = workspace.get_dataset("notes").manifest["notes"]
    assert "(odd ? column)" in bad["reason"]
    assert taken["code"] == "collect.column_taken"
    Image.new("RGB", (24, 24), "red").save(tmp_path / "notes" / "a.png")
    (tmp_path / "notes" / "a.json").write_text('{"caption": "half \\ud83d a pair"}')
    run(tmp_path / "notes", workspace, {"medium": "image"})
    assert [item.meta["caption"] for item in workspace.get_dataset("notes").iter_documents("train")] == [
        "half ? a pair"
    ]


def test_escaped_and_readable_names() -> None:
    assert (escape_name("größe"), decode_lossy("größe")) == ("größe", "größe")
    assert (escape_name(ODD), decode_lossy(ODD)) == (ODD_ESCAPED, "bad\ufffd\ufffdname")
