"""Columns and keys of tables stay with each document: numbers, text and arrays."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.cli import run as run_command
from genloom.collect import collect
from genloom.collect.kept_columns import ColumnBuilder, build_value_columns, choose_kind, convert_value, pick_columns
from genloom.store.dataset import SPLITS
from genloom.store.workspace import Workspace
from genloom.types import Item
from tests.collect.test_pictures import encode_blobs, write
from tests.errors import raises_code

WORDS = ("stone river hill tower bell night ring stair", "paper ink letter quill seal wax desk lamp",
         "sail rope mast tide gull harbour anchor deck")  # fmt: skip
ROWS = [
    {"text": words, "logp": 0.5 * n - 1, "rings": n, "colour": ("red", "green")[n % 2], "loads": [[1.0, n], [0.5, -n]]}
    for n, words in enumerate(WORDS)
]
KEPT = ("logp", "rings", "colour")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def run(source: Path, workspace: Workspace, keep: Sequence[str], **options: Any) -> list[Item]:
    """Collect and return all documents in the order of their sources."""
    *_, last = collect([source], workspace, "mine", {"keep": keep, **options})
    assert last.report is not None
    dataset = workspace.get_dataset("mine")
    dataset.verify()
    return sorted((item for split in SPLITS for item in dataset.iter_documents(split)), key=lambda item: item.source)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]] = ROWS) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_columns_of_every_kind_of_table_are_kept(tmp_path: Path, workspace: Workspace, suffix: str) -> None:
    items = run(write_rows(tmp_path / f"rows{suffix}"), workspace, KEPT)
    assert [{name: item.meta[name] for name in KEPT} for item in items] == [
        {name: row[name] for name in KEPT} for row in ROWS
    ]
    assert [item.value for item in items] == list(WORDS)
    assert isinstance(items[0].meta["rings"], int)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_arrays_keep_their_shape(tmp_path: Path, workspace: Workspace, suffix: str) -> None:
    items = run(write_rows(tmp_path / f"rows{suffix}"), workspace, ["loads"])
    for item, row in zip(items, ROWS, strict=True):
        assert item.meta["loads"].dtype == np.float32
        assert np.array_equal(item.meta["loads"], np.array(row["loads"], np.float32))
    part = next(workspace.get_dataset("mine").folder.glob("part-*.parquet"))
    schema = pq.read_schema(part)
    assert schema.field("loads").type == pa.list_(pa.float32())
    assert "loads.shape" not in items[0].meta


def test_arrays_may_differ_in_shape_and_be_missing(tmp_path: Path, workspace: Workspace) -> None:
    values = [[1, 2, 3], [[4.5]], None]
    rows = [{"text": words, "loads": value} for words, value in zip(WORDS, values, strict=True)]
    items = run(write_rows(tmp_path / "rows.jsonl", rows), workspace, ["loads"])
    assert [None if item.meta["loads"] is None else item.meta["loads"].tolist() for item in items] == values


def test_a_missing_value_is_none(tmp_path: Path, workspace: Workspace) -> None:
    values = ["2.5", "", "nan"]
    rows = [{"text": words, "logp": value} for words, value in zip(WORDS, values, strict=True)]
    items = run(write_rows(tmp_path / "rows.csv", rows[:2]), workspace, ["logp"])
    assert [item.meta["logp"] for item in items] == [2.5, None]


def test_decimal_commas_are_numbers(tmp_path: Path, workspace: Workspace) -> None:
    rows = "".join(f"{words};{value}\n" for words, value in zip(WORDS, ("2,5", "n/a", "-0,125"), strict=True))
    (tmp_path / "rows.csv").write_text(f"text;logp\n{rows}")
    assert [item.meta["logp"] for item in run(tmp_path / "rows.csv", workspace, ["logp"])] == [2.5, None, -0.125]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2"], "int"),
        ([1, "2.5"], "float"),
        (["0012", "7"], "text"),  # a code
        (["5,5", "7", "-0,125"], "decimal"),
        (["1,234", "7"], "text"),  # a thousand, or a decimal comma
        (["5,5", "6.5"], "text"),
        ([True, False], "bool"),
        ([True, 1], "text"),
        (["a", 1], "text"),
        ([2**70], "float"),
        ([None], "text"),
        ([np.zeros(2, np.float32), None], "array"),
    ],
)
def test_the_type_of_a_column(values: list[Any], kind: str) -> None:
    assert choose_kind(values) == kind


def test_what_is_no_number_text_or_array_is_an_error() -> None:
    for value in ({"a": 1}, [["a"], ["b"]], [[1], [1, 2]], [], [float("inf")]):
        with raises_code("collect.bad_kept_value", column="x"):
            pick_columns({"x": value}, ["x"])
    assert pick_columns({"x": None, "y": " ", "z": float("nan")}, ["x", "y", "z", "w"]) == {}


def test_chunks_of_a_row_all_have_its_values(tmp_path: Path, workspace: Workspace) -> None:
    text = "\n\n".join(f"Paragraph {n} of a long text about stones, rivers and hills." for n in range(60))
    path = write_rows(tmp_path / "rows.jsonl", [{"text": text, "year": 1851}])
    items = run(path, workspace, ["year"], chunk_chars=512, near_duplicates=0)
    assert len(items) > 3
    assert {item.meta["year"] for item in items} == {1851}


def test_a_name_that_no_table_has_is_an_error(tmp_path: Path, workspace: Workspace) -> None:
    with raises_code("collect.column_not_found", column="lopg"):
        run(write_rows(tmp_path / "rows.csv"), workspace, ["lopg"])
    assert workspace.list_datasets() == []


@pytest.mark.parametrize("name", ["text", "split", "quality", "content", "a.shape", " "])
def test_a_column_of_the_data_set_is_an_error(tmp_path: Path, workspace: Workspace, name: str) -> None:
    with raises_code("collect.reserved_column", column=name):
        run(write_rows(tmp_path / "rows.csv"), workspace, [name])


def test_values_of_images_are_in_sidecars_tables_and_parquet(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "pictures"
    for number in range(3):
        write(folder / f"{number}.png", number)
    (folder / "0.json").write_text(json.dumps({"caption": "a thing", "weight": 2.5}))
    (folder / "1.txt").write_text("another thing")
    rows = [{"file_name": "1.png", "weight": 3.5, "loads": [[1, 2]]}, {"file_name": "0.png", "loads": [[3, 4]]}]
    write_rows(folder / "rows.jsonl", rows)
    table = pa.table({"image": [encode_blobs(7)], "text": ["a fourth"], "weight": [4.5], "loads": [[[5.0, 6.0]]]})
    pq.write_table(table, folder / "more.parquet")
    items = {item.meta["caption"]: item.meta for item in run(folder, workspace, ["weight", "loads"])}
    assert {caption: meta["weight"] for caption, meta in items.items()} == {
        "a thing": 2.5, "another thing": 3.5, "": None, "a fourth": 4.5,
    }  # fmt: skip
    loads = {c: None if m["loads"] is None else m["loads"].tolist() for c, m in items.items()}
    assert loads == {"a thing": [[3, 4]], "another thing": [[1, 2]], "": None, "a fourth": [[5, 6]]}


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl")
    digests = {
        workers: list(
            collect([tmp_path / "rows.jsonl"], Workspace(tmp_path / f"{workers}"), "mine",
                    {"keep": [*KEPT, "loads"], "workers": workers})
        )[-1].report
        for workers in (1, 2)
    }  # fmt: skip
    assert digests[1]
    assert digests[2]
    assert digests[1].digest == digests[2].digest


def test_the_command_keeps_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
    path = write_rows(tmp_path / "rows.csv")
    assert run_command(["collect", str(path), "--keep", "logp,rings", "--keep", "colour", "--workers", "1"]) == 0
    dataset = Workspace(tmp_path / "home").get_dataset("rows")
    items = [item for split in SPLITS for item in dataset.iter_documents(split)]
    assert sorted(item.meta["logp"] for item in items) == [-1.0, -0.5, 0.0]
    assert dataset.manifest["options"]["keep"] == ["logp", "rings", "colour"]


def test_marks_of_missing_numbers_do_not_make_a_column_text() -> None:
    """Else each number would be a class of its own, without a word."""
    rows = [{"logp": value, "family": value} for value in ("2.5", "N/A", "-1", "", "nan", "-")]
    rows[0]["family"] = "acid"
    columns = ColumnBuilder().build(rows)
    assert columns["logp"].to_pylist() == [2.5, None, -1.0, None, None, None]
    assert columns["family"].to_pylist() == ["acid", "N/A", "-1", None, "nan", "-"]


def test_numbers_of_any_length_are_kept() -> None:
    long_number = 10**400
    assert choose_kind([1, long_number]) == "text"
    assert convert_value("text", long_number) == str(long_number)
    with raises_code("collect.mixed_column", column="n"):
        build_value_columns("n", "int", [1, long_number])
