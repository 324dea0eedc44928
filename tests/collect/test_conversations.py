"""Conversations are recognised in every usual form, kept turn by turn, and named where they are broken."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.collect import Options, Report, collect, summarize_report
from genloom.collect.text.conversations import parse_turns, render_conversation
from genloom.store.workspace import Workspace
from genloom.types import Item, Message

ASKED = (Message("user", "What is the capital of France?"), Message("assistant", "Paris."))
QUESTIONS = [
    ("How do bees find their way?", "They remember landmarks and read the polarised light of the sky."),
    ("Why is bread scored?", "So that the crust opens where the baker wants it to."),
    ("What does a rudder do?", "It turns the stern, and the bow goes the other way."),
]


def run(source: Path, workspace: Workspace, options: Options | None = None) -> tuple[Report, list[Item]]:
    *_, last = collect([source], workspace, "talks", options)
    assert last.report is not None
    dataset = workspace.get_dataset("talks")
    return last.report, [item for split in ("train", "val", "test") for item in dataset.iter_documents(split)]


def talk(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "user", "content": ASKED[0].content}, {"role": "assistant", "content": "Paris."}]},
        {"conversations": [{"from": "human", "value": ASKED[0].content}, {"from": "gpt", "value": "Paris."}]},
        {"messages": json.dumps(talk(ASKED[0].content, "Paris.")["messages"])},
        {"messages": [{"role": t.role, "content": [{"type": "text", "text": t.content}]} for t in ASKED]},
        {"instruction": ASKED[0].content, "input": "", "output": "Paris."},
        {"prompt": ASKED[0].content, "completion": "Paris."},
        {"prompt": ASKED[0].content, "response": "Paris."},
        {"question": ASKED[0].content, "answer": "Paris.", "id": 7},
    ],
)
def test_the_usual_forms_are_one_conversation(record: dict[str, Any]) -> None:
    assert parse_turns(record) == ASKED


def test_what_goes_with_the_question_or_before_it_is_kept() -> None:
    turns = parse_turns(
        {"system": "Be brief.", "instruction": "Translate.", "input": "Guten Tag", "output": "Good day"}
    )
    assert [(t.role, t.content) for t in turns] == [
        ("system", "Be brief."),
        ("user", "Translate.\n\nGuten Tag"),
        ("assistant", "Good day"),
    ]
    assert render_conversation(turns).startswith("system: Be brief.\n\nuser: Translate.")


@pytest.mark.parametrize("record", [{"text": "a page"}, {"question": "Why?"}, {"prompt": "Once", "story": "upon"}, {}])
def test_what_is_no_conversation_stays_text(record: dict[str, Any]) -> None:
    assert parse_turns(record) == ()


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"messages": [{"role": "tool", "content": "3"}]}, "role 'tool'; known are system, user and assistant"),
        ({"messages": [{"role": "user", "content": "Hm?"}]}, "nothing in the conversation is said by the assistant"),
        ({"messages": []}, "nothing in the conversation"),
        ({"messages": ["Hello"]}, "message 1 of the conversation is no object"),
        ({"messages": "[{broken"}, "not JSON"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "holds more than text"),
        ({"messages": [{"role": "assistant", "content": None}]}, "message 1 of the conversation has no text"),
        ({"messages": [{"role": "assistant", "content": "a"}, {"role": "system", "content": "b"}]}, "only first"),
        ({"question": "Why?", "answer": " "}, "message 2 of the conversation .assistant. is empty"),
    ],
)
def test_a_broken_conversation_says_why(record: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_turns(record)


def test_a_file_of_conversations_and_text(tmp_path: Path) -> None:
    rows: list[Any] = [talk(*pair) for pair in QUESTIONS]
    rows += [
        {"text": "A plain page of text about the harbour, the boats and the people."},
        {"messages": [{"role": "x"}]},
    ]
    rows += [talk("Why?", "")]
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    report, items = run(path, Workspace(tmp_path / "workspace"))
    by_source = {item.source: item for item in items}
    turns = by_source["chat.jsonl:1"].meta["turns"]
    assert [(t.role, t.content) for t in turns] == list(zip(("user", "assistant"), QUESTIONS[0], strict=True))
    assert by_source["chat.jsonl:1"].value == render_conversation(turns)
    assert "turns" not in by_source["chat.jsonl:4"].meta
    assert report.medium_metadata["conversations"] == 3
    assert "4 documents, 3 of them conversations" in summarize_report(report)[0]
    assert "4 documents, 3 of them conversations" in (report.folder / "CARD.md").read_text()
    [note] = report.notes
    assert "2 rows were left out; the first is row 5" in note.reason
    assert "then row 6: message 2" in note.reason


def test_csv_and_parquet_hold_conversations_too(tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    table = pa.table({"question": [q for q, _ in QUESTIONS], "answer": [a for _, a in QUESTIONS]})
    quoted = "\n".join(f'"{q}","{a}"' for q, a in QUESTIONS)
    (tmp_path / "csv" / "a.csv").write_text(f"question,answer\n{quoted}\n")
    (tmp_path / "parquet").mkdir()
    pq.write_table(table, tmp_path / "parquet" / "a.parquet")
    (tmp_path / "nested").mkdir()
    pq.write_table(pa.Table.from_pylist([talk(*pair) for pair in QUESTIONS]), tmp_path / "nested" / "a.parquet")
    found = [
        sorted(item.value for item in run(tmp_path / kind, Workspace(tmp_path / f"w-{kind}"))[1])
        for kind in ("csv", "parquet", "nested")
    ]
    assert found[0] == found[1] == found[2] == sorted(f"user: {q}\n\nassistant: {a}" for q, a in QUESTIONS)


def test_a_named_column_of_text_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"question": "Why?", "answer": "Because.", "passage": "The passage, as a text."}))
    report, [item] = run(path, Workspace(tmp_path / "w"), Options(column="passage"))
    assert (item.value, report.medium_metadata["conversations"]) == ("The passage, as a text.", 0)


def test_personal_data_is_blanked_out_in_every_turn(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(talk("My name is Erika Mustermann, erika@example.org.", "Hello Erika!")))
    report, [item] = run(path, Workspace(tmp_path / "w"), Options(scrub=("email", "name")))
    assert [t.content for t in item.meta["turns"]] == ["My name is [name], [email].", "Hello [name]!"]
    assert "Erika" not in item.value
    assert report.counters["scrubbed"] == {"email": 1, "name": 2}


def test_a_long_conversation_is_never_cut(tmp_path: Path) -> None:
    answer = "\n\n".join(f"Paragraph {n} says something that no other says, {n * n}." for n in range(400))
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps(talk("Tell me all.", answer)), json.dumps(talk(*QUESTIONS[0]))]))
    _, items = run(path, Workspace(tmp_path / "w"), Options(chunk_chars=256))
    assert sorted(len(item.meta["turns"]) for item in items) == [2, 2]
    assert any(item.meta["turns"][1].content == answer for item in items)


def test_a_data_set_from_before_conversations_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(talk(*QUESTIONS[0])))
    workspace = Workspace(tmp_path / "w")
    run(path, workspace)
    dataset = workspace.get_dataset("talks")
    [part] = dataset.folder.glob("part-*.parquet")
    pq.write_table(pq.read_table(part).drop_columns(["turns"]), part)
    [item] = dataset.iter_documents("train")
    assert "turns" not in item.meta
