"""Rows are read one by one, and broken rows are skipped with their reason."""

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.collect import table_files
from genloom.collect.media_tables import has_media
from genloom.collect.text import rows
from genloom.collect.text.rows import TextRow
from genloom.errors import GenloomError
from genloom.media.text.encoding import open_text
from tests.errors import raises_code


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def without_notes(found: Iterable[TextRow]) -> list[TextRow]:
    return [row for row in found if not row.note]


def test_jsonl_with_broken_rows(tmp_path: Path) -> None:
    good = [{"id": i, "text": f"Row number {i}\nwith two lines", "license": "MIT"} for i in range(3)]
    lines = [
        json.dumps(good[0]),
        "{broken",
        json.dumps(good[1]),
        "",
        '{"id": 9}',
        '"a plain string"',
        json.dumps(good[2]),
    ]
    found = without_notes(rows.read_jsonl_rows(open_text(write(tmp_path, "a.jsonl", "\n".join(lines))), ""))
    assert [(row.number, row.text[:12], row.licence) for row in found if not row.problem] == [
        (1, "Row number 0", "MIT"),
        (3, "Row number 1", "MIT"),
        (6, "a plain stri", ""),
        (7, "Row number 2", "MIT"),
    ]
    assert [(row.number, row.problem.code) for row in found if row.problem] == [
        (2, "collect.not_json"),
        (5, "collect.row_without_text"),
    ]


def test_an_overlong_line_is_skipped_and_the_others_are_read() -> None:
    blocks = ["ab", "c\nsecond\nx", "x" * 50, "x" * 50, "\nlast", " one"]
    assert list(table_files.iter_lines(blocks, max_chars=40)) == ["abc", "second", None, "last one"]
    assert list(table_files.iter_lines(["x" * 50], max_chars=40)) == [None]
    assert list(table_files.iter_lines([])) == []


def test_without_a_valid_row_the_error_names_the_problem_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "MAX_LINE_CHARS", 1 << 20)
    long = "x" * (3 << 20)
    rows_of_json = write(tmp_path, "a.jsonl", json.dumps({"text": long}))
    with raises_code("collect.no_valid_row", number=1, cause="collect.row_too_long"):
        list(rows.read_jsonl_rows(open_text(rows_of_json), ""))
    rows_of_csv = write(tmp_path, "a.csv", f"id,text\n1,{long}\n")
    with raises_code("collect.no_valid_row", number=2, cause="collect.row_too_long"):
        list(rows.read_csv_rows(open_text(rows_of_csv), "", is_tab_separated=False))
    broken = write(tmp_path, "b.jsonl", "\n{broken\n[1]")
    with raises_code("collect.no_valid_row", number=2, cause="collect.not_json"):
        list(rows.read_jsonl_rows(open_text(broken), ""))
    wide = write(tmp_path, "c.csv", "id,text\n1,2,3\n4\n")
    with raises_code("collect.no_valid_row", number=2, cause="collect.row_width"):
        list(rows.read_csv_rows(open_text(wide), "", is_tab_separated=False))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_guesses_delimiter_and_column(tmp_path: Path, delimiter: str) -> None:
    content = delimiter.join(["id", "title", "words"]) + "\n"
    content += "".join(
        delimiter.join([str(i), "A title", f'"Long text, row {i};\nits ""second"" line"']) + "\n" for i in range(5)
    )
    path = write(tmp_path, "a.csv", content)
    found = list(rows.read_csv_rows(open_text(path), "", is_tab_separated=False))
    assert texts_of(found) == [f'Long text, row {i};\nits "second" line' for i in range(5)]
    assert [row.note.fields["column"] for row in found if row.note] == ["words"]
    assert [row.text for row in rows.read_csv_rows(open_text(path), "title", is_tab_separated=False)] == ["A title"] * 5


@pytest.mark.parametrize("content", ["\ufeff", "\n", "id,text\n"])
def test_a_table_without_rows_is_an_error(tmp_path: Path, content: str) -> None:
    with raises_code("collect.no_rows"):
        list(rows.read_csv_rows(open_text(write(tmp_path, "a.csv", content)), "", is_tab_separated=False))


def test_csv_rows_of_the_wrong_width_have_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,text\n1,good one\n2\n3,too,many\n4,good two\n")
    found = without_notes(rows.read_csv_rows(open_text(path), "", is_tab_separated=False))
    assert [row.text for row in found] == ["good one", "", "", "good two"]
    assert [bool(row.problem) for row in found] == [False, True, True, False]


def test_an_unclosed_quote_damages_as_few_rows_as_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "MAX_LINE_CHARS", 2000)
    path = write(tmp_path, "a.csv", 'id,text\n1,good one\n2,"never closed\n' + "3,more and more text\n" * 500)
    found = without_notes(rows.read_csv_rows(open_text(path), "", is_tab_separated=False))
    assert found[0].text == "good one"
    assert len(found) == 502
    assert found[1].text == '"never closed'
    assert not any(row.problem for row in found)


@pytest.mark.parametrize("tabs", [False, True])
def test_an_overlong_row_of_a_table_has_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tabs: bool) -> None:
    monkeypatch.setattr(table_files, "MAX_LINE_CHARS", 3 << 20)
    long, mark = "word " * (1 << 20), "\t" if tabs else ","
    lines = ["id,text", "1,good one", f"2,{long}", "", '3,"good two,', 'in two lines"', '4,"begins', long, 'ends"']
    content = "\n".join([*lines, "5,good three", f"6,{long}"]).replace(",", mark)
    found = without_notes(rows.read_csv_rows(open_text(write(tmp_path, "a.csv", content)), "", tabs))
    assert [row.text for row in found] == ["good one", "", f"good two{mark}\nin two lines", "", "good three", ""]
    assert [(row.number, row.problem.code, row.problem.fields) for row in found if row.problem] == [
        (number, "collect.row_too_long", {"limit": 3}) for number in (3, 9, 11)
    ]
    with raises_code("collect.csv_header_too_long", limit=3):
        list(rows.read_csv_rows(open_text(write(tmp_path, "b.csv", f"{long}\n1,text of a row\n")), "", tabs))


def test_a_column_with_a_common_name_wins_over_the_longest(tmp_path: Path) -> None:
    row = json.dumps({"notes": "much longer than the other " * 9, "Text": "the one"})
    taken, found = rows.read_jsonl_rows(open_text(write(tmp_path, "a.jsonl", row)), "")
    assert found.text == "the one"
    assert taken.note is not None
    assert (taken.note.code, taken.note.fields) == ("collect.column_taken", {"column": "Text", "count": 2})


def test_parquet_and_json_arrays(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2, 3], "body": ["first text", None, "third text"], "licence": ["MIT", None, None]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = without_notes(rows.read_parquet_rows(tmp_path / "a.parquet", ""))
    assert found[0] == TextRow(1, "first text", "MIT")
    assert found[1].problem
    assert found[2] == TextRow(3, "third text")
    path = write(tmp_path, "a.json", json.dumps(["one text", {"x": 1}, {"text": "two texts"}]))
    found = without_notes(rows.read_json_rows(open_text(path), ""))
    assert [row.text for row in found] == ["one text", "", "two texts"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", {"version": 1, "data": [{"text": "one"}, {"text": "two"}]}, ["one", "two"]),
        ("a.json", {"title": "A", "text": "one document"}, ["one document"]),
        ("a.json", {"nodes": [{"type": "text", "text": "one note"}], "edges": [{"id": "a"}]}, ["one note"]),
        ("a.json", {"messages": [{"role": "User", "content": "hi"}, {"role": "Bot", "content": "yes"}]}, ["hi", "yes"]),
        ("a.json", '{"text": "one"}\n{"text": "two"}\n', ["one", "two"]),
        ("a.jsonl", '[\n {"text": "one"},\n {"text": "two"}\n]', ["one", "two"]),
        ("a.jsonl", '[{"text": "one"},\n {"text": "two"}]', ["one", "two"]),
        ("a.jsonl", '{\n "text": "one"\n}', ["one"]),
        ("a.jsonl", '{"text": "one"}\n\ufeff{"text": "two"}', ["one", "two"]),
    ],
)  # fmt: skip
def test_json_of_every_shape_is_read(tmp_path: Path, name: str, content: object, expected: list[str]) -> None:
    path = write(tmp_path, name, content if isinstance(content, str) else json.dumps(content))
    read = rows.read_json_rows if name == "a.json" else rows.read_jsonl_rows
    found = without_notes(read(open_text(path), ""))
    assert [text for row in found for text in ([turn.content for turn in row.turns] or [row.text])] == expected
    assert not any(row.problem for row in found)


@pytest.mark.parametrize("title", ["Our FAQ of 2024\n\n", "Our FAQ of 2024;\n", "FAQ;\n;\n"])
def test_a_title_above_the_columns_is_no_column(tmp_path: Path, title: str) -> None:
    path = write(tmp_path, "a.csv", f"{title}Question;Answer\nWhat is it?;A lamp\nWho is it?;No one\n")
    found = without_notes(rows.read_csv_rows(open_text(path), "", False))
    assert [row.problem.code for row in found if row.problem] == ["collect.title_row"]
    assert [[turn.content for turn in row.turns] for row in found[1:]] == [
        ["What is it?", "A lamp"],
        ["Who is it?", "No one"],
    ]
    path = write(tmp_path, "b.csv", "term\n\na lamp\na river, wide\n")
    assert next(row.text for row in without_notes(rows.read_csv_rows(open_text(path), "", False))) == "a lamp"


@pytest.mark.parametrize("content", ['{"name": "a b", "authors": [{"name": "Ann Lee"}]}', "3", '{"a": 1'])
def test_json_of_settings_is_no_text(tmp_path: Path, content: str) -> None:
    with pytest.raises(GenloomError):
        list(rows.read_json_rows(open_text(write(tmp_path, "a.json", content)), ""))


def test_a_broken_first_line_costs_only_itself(tmp_path: Path) -> None:
    content = "[" * 100_000 + '\n{"text": "good words"}\n'
    found = without_notes(rows.read_jsonl_rows(open_text(write(tmp_path, "a.jsonl", content)), ""))
    assert [row.text for row in found if not row.problem] == ["good words"]


def test_text_of_a_parquet_file_that_is_stored_once_is_text(tmp_path: Path) -> None:
    texts = ["some words", "other words"]
    for column in (pa.array(texts).dictionary_encode(), pa.array(texts, pa.string_view())):
        pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
        assert [row.text for row in rows.read_parquet_rows(tmp_path / "a.parquet", "")] == texts
    pq.write_table(pa.table({"n": [1], "m": [2]}), tmp_path / "a.parquet")
    with raises_code("collect.no_text_column", columns="n, m"):
        list(rows.read_parquet_rows(tmp_path / "a.parquet", ""))


def test_text_that_is_stored_as_bytes_is_text(tmp_path: Path) -> None:
    """As Spark and others write it; bytes that are pictures or sounds are no text."""
    path = tmp_path / "a.parquet"
    texts = ["some words of a café", "other words"]
    for kind in (pa.binary(), pa.large_binary()):
        pq.write_table(pa.table({"text": pa.array([text.encode() for text in texts], kind)}), path)
        assert [row.text for row in rows.read_parquet_rows(path, "")] == texts
        assert not has_media(path)
    for data in (b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x01", b"MThd\x00\x00", b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        pq.write_table(pa.table({"content": pa.array([data])}), path)
        assert has_media(path)
        with raises_code("collect.no_text_column"):
            list(rows.read_parquet_rows(path, ""))


def test_a_question_without_its_answer_is_no_text(tmp_path: Path) -> None:
    pairs = [{"question": "What is 2 + 2?", "answer": 4}, {"question": "And 3 + 3?", "answer": "6"}]
    broken = {"question": "And 1 + 1?", "answer": None}
    lines = "\n".join(json.dumps(pair) for pair in [broken, *pairs])
    found = without_notes(rows.read_jsonl_rows(open_text(write(tmp_path, "a.jsonl", lines)), ""))
    assert [[turn.content for turn in row.turns] for row in found] == [[], ["What is 2 + 2?", "4"], ["And 3 + 3?", "6"]]
    assert found[0].problem
    pq.write_table(pa.table({"question": ["What is 2 + 2?"], "answer": [4]}), tmp_path / "a.parquet")
    (row,) = without_notes(rows.read_parquet_rows(tmp_path / "a.parquet", ""))
    assert [turn.content for turn in row.turns] == ["What is 2 + 2?", "4"]


def test_any_damage_of_a_parquet_file_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["first text here", "second text there"] * 4}), path, use_dictionary=False)
    good = path.read_bytes()
    flipped = [good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :] for at in range(len(good))]
    codes = []
    for damaged in [b"x", b"PAR1" * 3, b"some text " * 9, good[:-9], good[9:], *flipped]:
        path.write_bytes(damaged)
        try:
            list(rows.read_parquet_rows(path, ""))  # not all bytes matter
        except GenloomError as error:
            codes.append(error.code)
    assert len(codes) > len(good) / 4
    assert set(codes) == {"collect.parquet_damaged"}
    with pytest.raises(FileNotFoundError, match="nothing"):
        list(rows.read_parquet_rows(tmp_path / "nothing.parquet", ""))


def test_the_error_on_a_missing_column_lists_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,story\n1,once upon a time\n")
    with raises_code("collect.no_such_column", column="txet", columns="id, story"):
        list(rows.read_csv_rows(open_text(path), "txet", is_tab_separated=False))
    with raises_code("collect.no_text_column", columns="a, b"):
        list(rows.read_csv_rows(open_text(write(tmp_path, "n.csv", "a,b\n1,2\n3,4\n")), "", is_tab_separated=False))
    with raises_code("collect.parquet_damaged"):
        list(rows.read_parquet_rows(path, ""))


def read_table(folder: Path, name: str, content: str, column: str = "") -> list[TextRow]:
    return list(rows.read_csv_rows(open_text(write(folder, name, content)), column, name.endswith(".tsv")))


def texts_of(found: list[TextRow]) -> list[str]:
    return [row.text for row in without_notes(found) if not row.problem]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"text": "村子旁边有一条小河孩子们每天去那里玩耍", "source": "Village Daily, page 1"}, "村子"),
        ({"text": "吾輩は猫である。名前はまだ無い。", "author": "Natsume Soseki"}, "吾輩"),
        ({"text": "หมู่บ้านริมแม่น้ำ", "author": "A B"}, "หมู่"),
        ({"text": "hello", "n": 1}, "hello"),
        ({"story": "村子旁边有一条小河", "title": "a b"}, "村子"),
    ],
    ids=str,
)
def test_text_without_spaces_is_text(tmp_path: Path, record: dict[str, str], expected: str) -> None:
    path = write(tmp_path, "a.jsonl", json.dumps(record, ensure_ascii=False))
    assert texts_of(list(rows.read_jsonl_rows(open_text(path), "")))[0].startswith(expected)
    table = ",".join(record) + "\n" + ",".join(map(str, record.values())) + "\n"
    if "," not in "".join(map(str, record.values())):
        assert texts_of(read_table(tmp_path, "a.csv", table))[0].startswith(expected)


TSV = """id\ttext
1\t"Oh, said the keeper
2\tThe road is long today
3\tA bell rang twice
4\t"No, said the baker
5\tThe end
"""


@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_a_stray_quotation_mark_costs_no_row(tmp_path: Path, delimiter: str) -> None:
    content = TSV.replace("Oh,", "Oh").replace("No,", "No").replace("\t", delimiter)
    found = read_table(tmp_path, "q.tsv" if delimiter == "\t" else "q.csv", content)
    assert texts_of(found) == [
        '"Oh said the keeper', "The road is long today", "A bell rang twice", '"No said the baker', "The end",
    ]  # fmt: skip
    assert [row.warning.code if row.warning else "" for row in without_notes(found)] == [
        "collect.stray_quote", "", "", "collect.stray_quote", "",
    ]  # fmt: skip


def test_one_mark_does_not_swallow_the_rest_of_a_csv(tmp_path: Path) -> None:
    content = "id,text\n" + "".join(f"{n},Row number {n} of many\n" for n in range(100))
    content = content.replace("50,Row", '50,"Row')
    assert len(texts_of(read_table(tmp_path, "a.csv", content))) == 100


def test_cells_between_marks_keep_their_lines(tmp_path: Path) -> None:
    content = 'id,text\n1,"One, ""two""\nand three"\n2,"a\n\nb"\n3,5" pipe of iron\n4,"x y" z\n'
    found = read_table(tmp_path, "a.csv", content)
    assert texts_of(found) == ['One, "two"\nand three', "a\n\nb", '5" pipe of iron', '"x y" z']
    assert [bool(row.warning) for row in without_notes(found)] == [False, False, False, True]


def test_rows_in_a_cell_are_told(tmp_path: Path) -> None:
    content = 'id,text\n1,"Oh the keeper\n2,A road\n3,A bell\n4,The end"\n5,More of it\n'
    found = read_table(tmp_path, "a.csv", content)
    assert [row.warning.code for row in found if row.warning] == ["collect.rows_in_cell"]


def test_a_first_row_of_data_is_not_lost(tmp_path: Path) -> None:
    found = read_table(tmp_path, "a.csv", "1,The road is long today.\n2,A bell rang twice.\n")
    assert texts_of(found) == ["The road is long today.", "A bell rang twice."]
    assert [row.warning.code for row in found if row.warning] == ["collect.no_header"]


@pytest.mark.parametrize(
    "content",
    ["sep=;\nid;text\n1;The road is long\n", "\n\n  \nid,text\n1,The road is long\n", "text,text\nThe road is long,b\n",
     "id,text\n1,The road\0 is long\n"],
    ids=ascii,
)  # fmt: skip
def test_odd_tables_are_read(tmp_path: Path, content: str) -> None:
    assert [text.replace("\0", "") for text in texts_of(read_table(tmp_path, "a.csv", content))] == ["The road is long"]


@pytest.mark.parametrize("first", [',"a' * 100_000, '"' * 300_000, '"a",' * 100_000], ids=["open", "marks", "closed"])
def test_no_first_line_takes_long(tmp_path: Path, first: str) -> None:
    from contextlib import suppress
    from time import process_time

    before = process_time()
    with suppress(GenloomError):
        read_table(tmp_path, "a.csv", first + "\n1,2\n" * 1000)
    assert process_time() - before < 5


def test_errors_of_a_spreadsheet_in_csv_are_no_text(tmp_path: Path) -> None:
    table = 'id,text\n1,The ferry leaves at noon.\n2,#REF!\n3,"#N/A"\n4,#REF! is an error of a sheet.\n'
    found = without_notes(rows.read_csv_rows(open_text(write(tmp_path, "a.csv", table)), "", is_tab_separated=False))
    assert [row.text for row in found] == ["The ferry leaves at noon.", "", "", "#REF! is an error of a sheet."]
    assert [row.warning and row.warning.code for row in found] == [
        None,
        "collect.error_in_cell",
        "collect.error_in_cell",
        None,
    ]
