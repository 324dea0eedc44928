"""Tables with a turn in each row become conversations; dates and numbers are no texts."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.collect.text import rows, turn_tables
from genloom.collect.text.rows import TextRow
from genloom.media.text.encoding import open_text
from tests.errors import raises_code

TURNS = [
    {"Conversation_ID": 1, "role": "user", "content": "How do bees find home?"},
    {"Conversation_ID": 1, "role": "assistant", "content": "They remember landmarks."},
    {"Conversation_ID": 2, "role": "Human", "content": "What is two and two?"},
    {"Conversation_ID": 2, "role": "bot", "content": "It is four."},
    {"Conversation_ID": 2, "role": "Human", "content": "And three and three?"},
    {"Conversation_ID": 2, "role": "bot", "content": "It is six."},
]


def read(path: Path, records: list[dict[str, Any]]) -> list[TextRow]:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
        return list(rows.read_parquet_rows(path, ""))
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
        return list(rows.read_jsonl_rows(open_text(path), ""))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, records[0])
        writer.writeheader()
        writer.writerows(records)
    return list(rows.read_csv_rows(open_text(path), "", is_tab_separated=False))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_rows_of_one_conversation_are_its_turns(name: str, tmp_path: Path) -> None:
    note, *found = read(tmp_path / name, TURNS)
    assert note.note is not None
    assert note.note.code == "collect.read_as_turns"
    talks = [row.turns for row in found if row.turns]
    assert [[turn.role for turn in turns] for turns in talks] == [["user", "assistant"], ["user", "assistant"] * 2]
    assert [turns[-1].content for turns in talks] == ["They remember landmarks.", "It is six."]
    assert not any(row.text for row in found)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_rows_of_several_conversations_may_alternate(name: str, tmp_path: Path) -> None:
    mixed = [TURNS[number] for number in (2, 0, 3, 1, 4, 5)]
    _, *found = read(tmp_path / name, mixed)
    talks = [[turn.content for turn in row.turns] for row in found if row.turns]
    assert talks == [[row["content"] for row in TURNS[2:]], [row["content"] for row in TURNS[:2]]]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_of_a_tree_of_messages_the_best_answers_are_read(name: str, tmp_path: Path) -> None:
    """As in the files of OpenAssistant, in which a message has several answers with ranks."""
    tree = [
        {"message_id": "p", "parent_id": None, "role": "prompter", "text": "How do bees find home?", "rank": None},
        {"message_id": "a", "parent_id": "p", "role": "assistant", "text": "They ask a fox.", "rank": 1},
        {"message_id": "b", "parent_id": "p", "role": "assistant", "text": "They remember landmarks.", "rank": 0},
        {"message_id": "c", "parent_id": "b", "role": "prompter", "text": "And at night?", "rank": None},
        {"message_id": "d", "parent_id": "c", "role": "assistant", "text": "They stay at home.", "rank": None},
    ]
    found = read(tmp_path / name, [{"message_tree_id": "p", **message} for message in tree])
    [talk] = [[turn.content for turn in row.turns] for row in found if row.turns]
    assert talk == [tree[number]["text"] for number in (0, 2, 3, 4)]
    [problem] = [row.problem for row in found if row.problem]
    assert (problem.code, problem.fields) == ("collect.other_answers", {"count": 1})


def test_a_turn_that_comes_far_too_late_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_tables, "MAX_OPEN_ROWS", 3)
    _, *found = read(tmp_path / "a.csv", [*TURNS, TURNS[0]])
    assert [len(row.turns) for row in found if row.turns] == [2, 4]
    assert [row.problem.code for row in found if row.problem] == ["collect.late_turn"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_turns_that_nothing_keeps_apart_are_told(name: str, tmp_path: Path) -> None:
    found = read(tmp_path / name, [{"role": row["role"], "content": row["content"]} for row in TURNS])
    assert "collect.turns_without_id" in {row.note.code for row in found if row.note}
    assert len([row for row in found if row.text]) == len(TURNS)


@pytest.mark.parametrize("value", ["2024-01-02 10:30:00", "1 234 567,50", "10:30 - 11:45", "+49 30 1234 567"])
def test_numbers_and_dates_are_no_text(value: str, tmp_path: Path) -> None:
    records = [{"made": value, "word": word} for word in ("Rain", "Sun")]
    with raises_code("collect.no_text_column"):
        read(tmp_path / "a.csv", records)


@pytest.mark.parametrize("value", ["Rain falls.", "5 new stars", "Am 3. Mai", "«Oui, toi!»", "It is 7 o'clock"])
def test_short_sentences_are_text(value: str, tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", [{"made": "2024-01-02 10:30:00", "word": value}])
    assert [row.text for row in found if row.text] == [value]


def test_a_table_of_one_column_has_commas_in_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text\nHello, world\n"Quoted, and whole"\nOne, two, "three", four\n', encoding="utf-8")
    found = [row.text for row in rows.read_csv_rows(open_text(path), "", is_tab_separated=False) if row.text]
    assert found == ["Hello, world", "Quoted, and whole", 'One, two, "three", four']
