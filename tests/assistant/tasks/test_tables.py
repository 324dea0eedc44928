"""Tables of texts: columns are found or named, encodings mixed, and sizes bounded."""

from pathlib import Path

import pytest

from genloom.assistant.tasks import tables
from genloom.errors import GenloomError


def test_columns_are_found_by_their_usual_names(tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    path.write_text("id,Body,label\n1,hello there,ham\n2,buy now,spam\n")
    table = tables.read_text_table(path)
    assert table.choose_column("", tables.TEXT_COLUMNS, "texts") == "Body"
    assert table.choose_column("", tables.LABEL_COLUMNS, "labels") == "label"
    assert table.choose_column("id", tables.TEXT_COLUMNS, "texts") == "id"
    assert table.list_values("Body") == ["hello there", "buy now"]


def test_without_a_usual_name_the_longest_texts_count(tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    path.write_text("nr,said\n1,hello there my friend\n2,buy now and save\n")
    table = tables.read_text_table(path)
    assert table.choose_column("", tables.TEXT_COLUMNS, "texts") == "said"
    with pytest.raises(GenloomError) as caught:
        table.choose_column("", tables.LABEL_COLUMNS, "labels")
    assert caught.value.code == "tasks.column_needed"


def test_a_column_that_is_not_there_is_refused_with_the_names(tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    path.write_text("subject,body\na,b\n")
    with pytest.raises(GenloomError) as caught:
        tables.read_text_table(path).choose_column("bdoy", tables.TEXT_COLUMNS, "texts")
    assert caught.value.code == "tasks.no_such_column"
    assert "subject, body" in str(caught.value)
    assert "Did you mean 'body'" in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mails.csv"
    rows = "".join(f"Grüße aus Köln, Straße {n}|ham\n" for n in range(40)).replace(",", ";").replace("|", ",")
    path.write_bytes(("text,label\n" + rows).encode(encoding))
    assert tables.read_text_table(path).rows[0]["text"] == "Grüße aus Köln; Straße 0"


def test_a_file_in_two_encodings_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    good = "".join(f"für alle {n},ham\n" for n in range(2000)).encode()
    path.write_bytes(b"text,label\n" + good + "Köln,spam\n".encode("cp1252"))
    rows = tables.read_text_table(path).rows
    assert len(rows) == 2001
    assert rows[-1] == {"text": "Köln", "label": "spam"}


def test_json_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mails.jsonl"
    path.write_text('{"text": "one", "n": 3}\nnot json\n{"text": "two", "label": null}\n')
    table = tables.read_text_table(path)
    assert [row["text"] for row in table.rows] == ["one", "two"]
    assert table.rows[0]["n"] == "3"
    assert table.num_skipped == 1
    assert [(fault.line, fault.is_skipped) for fault in table.faults] == [(2, True)]


def test_rows_that_are_left_out_are_named_by_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    path.write_text('text,label\none,ham\ntwo\n"three\nlines",ham\nfour,ham,more\nfive,spam\n')
    table = tables.read_text_table(path)
    assert [row["text"] for row in table.rows] == ["one", "three\nlines", "five"]
    assert [fault.line for fault in table.faults] == [3, 6]
    (note,) = table.list_notes()
    assert "2 rows of mails.csv left out" in note
    assert "line 3: it has 1 column instead of 2" in note
    assert "line 6: it has 3 columns instead of 2" in note


def test_lines_that_hold_no_object_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mails.jsonl"
    path.write_text('{"text": "one"}\n\n[1]\n"two"\n{"text": "three"\n')
    table = tables.read_text_table(path)
    assert [fault.line for fault in table.faults] == [3, 4, 5]
    path.write_text("[1]\n")
    with pytest.raises(GenloomError) as caught:
        tables.read_text_table(path)
    assert (caught.value.code, caught.value.fields["line"]) == ("tasks.unreadable_table", 1)


def test_many_faults_are_counted_and_a_guess_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    path.write_text("text,label\n" + "alone\n" * 9 + 'a "b,ham\n"c,spam\nd,ham\n')
    skipped, guessed = tables.read_text_table(path).list_notes()
    assert skipped.startswith("9 rows of mails.csv left out: line 2: ")
    assert skipped.endswith("; and 5 others")
    assert "read by a guess: line 12: " in guessed


def test_a_glossary_with_a_row_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text("en,fr\nwarranty,garantie\nkettle\n")
    with pytest.raises(GenloomError) as caught:
        tables.read_glossary_pairs(path, "en", "fr")
    assert (caught.value.code, caught.value.fields["line"]) == ("tasks.glossary_line", 3)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.csv", "", "tasks.empty_table"),
        ("a.csv", "text,label\n", "tasks.empty_table"),
        ("a.pdf", "x", "tasks.not_a_table"),
        ("a.txt", "x", "tasks.not_a_table"),
        ("none.csv", None, "media.unreadable_file"),
        ("a.csv", "\x00\x01\x02\x03" * 50, "media.unreadable"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, name: str, content: str | None, code: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(GenloomError) as caught:
        tables.read_text_table(path)
    assert caught.value.code == code


def test_a_large_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "word word word,ham\n" * 1000)
    monkeypatch.setattr(tables, "MAX_ROWS", 100)
    with pytest.raises(GenloomError) as caught:
        tables.read_text_table(path)
    assert caught.value.code == "tasks.table_too_large"
    monkeypatch.setattr(tables, "MAX_FILE_BYTES", 100)
    with pytest.raises(GenloomError):
        tables.read_text_table(path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = [{"text": 'a "quoted", text\nof two lines', "label": "ham"}]
    tables.write_csv(tmp_path / "folder/out.csv", ["text", "label"], rows)
    assert list(tables.read_text_table(tmp_path / "folder/out.csv").rows) == rows
