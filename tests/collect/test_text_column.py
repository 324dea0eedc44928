"""The column of the text is found, also where it begins late, and what is not read is told."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.collect.text import rows
from genloom.collect.text.text_column import MAX_SNIFFED_ROWS
from genloom.media.text.encoding import open_text
from tests.collect.test_rows import without_notes, write
from tests.errors import raises_code


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_text_that_begins_late_is_found(tmp_path: Path, suffix: str) -> None:
    """The first 300 rows have no text; with more of them, the column that is named is found all the same."""
    texts = [f"some words of text {n}" for n in range(3)]
    readers = {"json": rows.read_json_rows, "jsonl": rows.read_jsonl_rows}
    for num_empty, column in ((300, ""), (300, "text"), (MAX_SNIFFED_ROWS + 100, "text")):
        records = [{"n": n, "text": None} for n in range(num_empty)] + [{"n": 0, "text": text} for text in texts]
        lines = [json.dumps({name: each for name, each in record.items() if each is not None}) for record in records]
        if suffix == "parquet":
            pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet")
            found = list(rows.read_parquet_rows(tmp_path / "a.parquet", column))
        elif suffix == "csv":
            cells = "".join(f"{record['n']},{record['text'] or ''}\n" for record in records)
            found = list(rows.read_csv_rows(open_text(write(tmp_path, "a.csv", f"n,text\n{cells}")), column, False))
        else:
            content = "\n".join(lines) if suffix == "jsonl" else f"[{','.join(lines)}]"
            found = list(readers[suffix](open_text(write(tmp_path, f"a.{suffix}", content)), column))
        assert [row.text for row in found if row.text] == texts
        assert len(without_notes(found)) == num_empty + len(texts)


def test_a_column_that_no_row_has_is_an_error_however_long_the_file(tmp_path: Path) -> None:
    content = '{"n": 1}\n' * (MAX_SNIFFED_ROWS + 100)
    with raises_code("collect.no_such_column", column="text", columns="n"):
        list(rows.read_jsonl_rows(open_text(write(tmp_path, "a.jsonl", content)), "text"))
    with raises_code("collect.no_text_column", columns="n"):
        list(rows.read_jsonl_rows(open_text(write(tmp_path, "a.jsonl", content)), ""))


def test_a_usual_column_that_begins_late_is_told(tmp_path: Path) -> None:
    titles = [{"title": f"Title of number {n}"} for n in range(100)]
    records = [*titles, {"title": "Title of one more", "text": "words of a text"}]
    content = "\n".join(map(json.dumps, records))
    found = list(rows.read_jsonl_rows(open_text(write(tmp_path, "a.jsonl", content)), ""))
    (note,) = [row.note for row in found if row.note]
    assert (note.code, note.fields["column"], note.fields["number"]) == ("collect.late_column", "text", 101)
