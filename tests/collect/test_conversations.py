"""Conversations are recognised in every common form, stored turn by turn, and skipped with a reason if broken."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.codecs import bytes as bytes_codec
from genloom.codecs.chat_template import render_chat
from genloom.collect import Report, collect, summarize_report
from genloom.collect.text.conversations import parse_turns, render_conversation
from genloom.errors import GenloomError
from genloom.store.workspace import Workspace
from genloom.types import Item, Message
from tests.errors import raises_code

TURNS = (Message("user", "What is the capital of France?"), Message("assistant", "Paris."))
QUESTIONS = [
    ("How do bees find their way?", "They remember landmarks and read the polarised light of the sky."),
    ("Why is bread scored?", "So that the crust opens where the baker wants it to."),
    ("What does a rudder do?", "It turns the stern, and the bow goes the other way."),
]


def run(source: Path, workspace: Workspace, options: Mapping[str, Any] | None = None) -> tuple[Report, list[Item]]:
    *_, last = collect([source], workspace, "talks", options)
    assert last.report is not None
    dataset = workspace.get_dataset("talks")
    return last.report, [item for split in ("train", "val", "test") for item in dataset.iter_documents(split)]


def talk(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "user", "content": TURNS[0].content}, {"role": "assistant", "content": "Paris."}]},
        {"conversations": [{"from": "human", "value": TURNS[0].content}, {"from": "gpt", "value": "Paris."}]},
        {"messages": json.dumps(talk(TURNS[0].content, "Paris.")["messages"])},
        {"messages": [{"role": t.role, "content": [{"type": "text", "text": t.content}]} for t in TURNS]},
        {"instruction": TURNS[0].content, "input": "", "output": "Paris."},
        {"prompt": TURNS[0].content, "completion": "Paris."},
        {"prompt": TURNS[0].content, "response": "Paris."},
        {"question": TURNS[0].content, "answer": "Paris.", "id": 7},
        {"Question": TURNS[0].content, "ANSWER": "Paris."},
        {"Instruction": TURNS[0].content, "Response": "Paris."},
        {" Frage ": TURNS[0].content, "Antwort": "Paris."},
        {"input": TURNS[0].content, "output": "Paris."},
        {"query": TURNS[0].content, "response": "Paris."},
        {"query": TURNS[0].content, "answer": "Paris."},
        {"user": TURNS[0].content, "assistant": "Paris."},
        {"human": TURNS[0].content, "bot": "Paris."},
        {"q": TURNS[0].content, "a": "Paris."},
        {"problem": TURNS[0].content, "solution": "Paris."},
        {"prompt": TURNS[0].content, "chosen": "Paris.", "rejected": "Lyon."},
        {"instruction": TURNS[0].content, "input": "", "output": ["Paris.", "Lyon."]},  # the best first
        {"prompt": TURNS[0].content, "completion": "Paris.", "label": True},
        {"conversation": [{"human": TURNS[0].content, "assistant": "Paris."}]},
        {"chat_messages": [{"sender": "human", "text": TURNS[0].content, "content": [{"type": "thinking"}]},
                           {"sender": "assistant", "text": "Paris.", "attachments": [], "files": []}], "name": "chat"},
        {"contents": [{"role": "user", "parts": [{"text": TURNS[0].content}]},
                      {"role": "model", "parts": [{"text": "Paris."}]}]},
        {"dialogue": [{"role": "user", "text": TURNS[0].content}, {"role": "bot", "text": "Paris."}], "topic": "x"},
        {"input": {"messages": [{"role": "user", "content": TURNS[0].content}], "tools": []},
         "preferred_output": [{"role": "assistant", "content": "Paris."}],
         "non_preferred_output": [{"role": "assistant", "content": "Lyon."}]},
        {"question": TURNS[0].content, "answers": {"text": ["Paris.", "Paris"], "answer_start": [5, 5]}},
        {"question": TURNS[0].content, "answers": ["Paris."]},
        {
            "chosen": f"\n\nHuman: {TURNS[0].content}\n\nAssistant: Paris.",
            "rejected": f"\n\nHuman: {TURNS[0].content}\n\nAssistant: Lyon.",
        },
        {
            "prompt": [{"role": "user", "content": TURNS[0].content}],
            "completion": [{"role": "assistant", "content": "Paris."}],
        },
        {
            "chosen": [{"role": t.role, "content": t.content} for t in TURNS],
            "rejected": [{"role": "user", "content": TURNS[0].content}, {"role": "assistant", "content": "Lyon."}],
        },
    ],
)  # fmt: skip
def test_the_common_forms_give_the_same_conversation(record: dict[str, Any]) -> None:
    assert parse_turns(record) == TURNS


def test_the_context_and_the_system_message_are_kept() -> None:
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
def test_other_records_are_not_conversations(record: dict[str, Any]) -> None:
    assert parse_turns(record) == ()


@pytest.mark.parametrize(
    ("record", "code", "number"),
    [
        ({"messages": [{"role": "tool", "content": "3"}]}, "message_role", 1),
        ({"messages": [{"role": "user", "content": "Hm?"}]}, "no_assistant_message", None),
        ({"messages": []}, "no_assistant_message", None),
        ({"messages": ["Hello"]}, "message_not_object", 1),
        ({"messages": "[{broken"}, "messages_not_json", None),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "message_not_text", 1),
        ({"messages": [{"role": "assistant", "content": None}]}, "message_without_text", 1),
        ({"messages": [{"role": "assistant", "content": "a"}, {"role": "system", "content": "b"}]},
         "late_system_message", 2),
        ({"chat_messages": [{"sender": "human", "text": "a", "files": [{"name": "b"}]}]}, "message_not_text", 1),
        ({"question": "Why?", "answer": " "}, "message_empty", 2),
    ],
)  # fmt: skip
def test_a_broken_conversation_is_an_error(record: dict[str, Any], code: str, number: int | None) -> None:
    with raises_code(f"collect.{code}", **({} if number is None else {"number": number})):
        parse_turns(record)


def test_the_passage_and_the_system_instruction_are_kept() -> None:
    turns = parse_turns({"context": "It is 10 m high.", "question": "How high?", "answers": {"text": ["10 m"]}})
    assert [turn.content for turn in turns] == ["How high?\n\nIt is 10 m high.", "10 m"]
    contents = [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": [{"text": "Hello"}]}]
    turns = parse_turns({"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": contents})
    assert [(turn.role, turn.content) for turn in turns] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]


def test_a_list_that_is_no_conversation_is_told_with_the_form_to_write(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "x", "said": [{"who": "me", "what": "Hello there"}]}))
    workspace = Workspace(tmp_path / "w")
    with raises_code("collect.nothing_readable") as error:
        run(tmp_path / "a.jsonl", workspace)
    assert "messages" in str(error.value)


@pytest.mark.parametrize("name", ["chat_messages", "dialogue"])
def test_messages_under_another_name_are_read_from_parquet(name: str, tmp_path: Path) -> None:
    rows = [[{"sender": "human", "text": q}, {"sender": "assistant", "text": a}] for q, a in QUESTIONS]
    pq.write_table(pa.table({name: rows, "title": ["a", "b", "c"]}), tmp_path / "a.parquet")
    _, items = run(tmp_path / "a.parquet", Workspace(tmp_path / "w"))
    assert sorted(item.value for item in items) == sorted(f"user: {q}\n\nassistant: {a}" for q, a in QUESTIONS)


def test_the_turns_before_a_pair_are_kept() -> None:
    record = {"instruction": "And of Spain?", "output": "Madrid.", "history": [[TURNS[0].content, "Paris."]]}
    assert parse_turns(record) == (*TURNS, Message("user", "And of Spain?"), Message("assistant", "Madrid."))
    assert len(parse_turns({**record, "history": None})) == 2
    with raises_code("collect.bad_history"):
        parse_turns({**record, "history": ["Paris?", "Yes."]})


def test_an_answer_that_is_a_number_in_a_list_of_messages() -> None:
    assert parse_turns({"messages": [{"role": "user", "content": "6 * 7?"}, {"role": "assistant", "content": 42}]}) == (
        Message("user", "6 * 7?"),
        Message("assistant", "42"),
    )


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}])
def test_answers_that_are_marked_are_read_and_not_learned(mark: dict[str, Any], tmp_path: Path) -> None:
    """As OpenAI and axolotl mark the answers that only lead to the right one."""

    def build(number: int) -> dict[str, Any]:
        question, answer = QUESTIONS[number]
        first = talk(question, f"No idea, {number}.")["messages"]
        return {"messages": [first[0], {**first[1], **mark}, *talk("Try again.", answer)["messages"]]}

    (tmp_path / "talks.jsonl").write_text("\n".join(json.dumps(build(number)) for number in range(3)))
    _, items = run(tmp_path / "talks.jsonl", Workspace(tmp_path / "w"))
    codec = bytes_codec.Codec(bytes_codec.Config())
    for item in items:
        assert [turn.is_learned for turn in item.meta["turns"]] == [True, False, True, True]
        ids, targets = render_chat(codec, item.meta["turns"], add_generation_prompt=False)
        learned = codec.decode(ids[targets])
        assert any(learned.startswith(answer) for _, answer in QUESTIONS)
        assert "No idea" in codec.decode(ids)
        assert "No idea" not in learned
    only = build(0)["messages"][:2]
    with raises_code("collect.no_assistant_message"):
        parse_turns({"messages": only})


def test_a_bad_answer_of_unpaired_preferences_is_not_learned(tmp_path: Path) -> None:
    rows = [{"prompt": q, "completion": a, "label": number != 1} for number, (q, a) in enumerate(QUESTIONS)]
    (tmp_path / "rated.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rated.parquet")
    for name in ("rated.jsonl", "rated.parquet"):
        report, items = run(tmp_path / name, Workspace(tmp_path / f"w-{name}"))
        assert QUESTIONS[1][1] not in str([item.meta["turns"] for item in items])
        assert len(items) == 2
        assert any("label" in note.reason for note in report.notes)


def test_questions_whose_answers_have_an_unknown_name_are_not_learned_alone(tmp_path: Path) -> None:
    rows = [{"question": q, "response_j": a, "response_k": "I do not know that."} for q, a in QUESTIONS]
    (tmp_path / "ranked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with raises_code("collect.nothing_readable") as caught:
        run(tmp_path / "ranked.jsonl", Workspace(tmp_path / "w"))
    assert "response_j, response_k" in str(caught.value)
    _, items = run(tmp_path / "ranked.jsonl", Workspace(tmp_path / "w"), {"column": "response_j"})
    assert len(items) == 3


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
    taken, note = report.notes
    assert (taken.code, note.code) == ("collect.read_as_conversations", "collect.rows_skipped")
    assert "row 5: " in note.reason
    assert "row 6: " in note.reason


def test_conversations_in_csv_and_parquet(tmp_path: Path) -> None:
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


def test_a_given_column_of_text_takes_precedence(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"question": "Why?", "answer": "Because.", "passage": "The passage, as a text."}))
    report, [item] = run(path, Workspace(tmp_path / "w"), {"column": "passage"})
    assert (item.value, report.medium_metadata["conversations"]) == ("The passage, as a text.", 0)


def test_personal_data_is_masked_in_every_turn(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(talk("My name is Erika Mustermann, erika@example.org.", "Hello Erika!")))
    report, [item] = run(path, Workspace(tmp_path / "w"), {"scrub": ("email", "name")})
    assert [t.content for t in item.meta["turns"]] == ["My name is [name], [email].", "Hello [name]!"]
    assert "Erika" not in item.value
    assert report.counters["scrubbed"] == {"email": 1, "name": 2}


def test_a_long_conversation_is_not_split(tmp_path: Path) -> None:
    answer = "\n\n".join(f"Paragraph {n} says something that no other says, {n * n}." for n in range(400))
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps(talk("Tell me all.", answer)), json.dumps(talk(*QUESTIONS[0]))]))
    _, items = run(path, Workspace(tmp_path / "w"), {"chunk_chars": 256})
    assert sorted(len(item.meta["turns"]) for item in items) == [2, 2]
    assert any(item.meta["turns"][1].content == answer for item in items)


def test_a_data_set_without_a_column_of_turns_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(talk(*QUESTIONS[0])))
    workspace = Workspace(tmp_path / "w")
    run(path, workspace)
    dataset = workspace.get_dataset("talks")
    [part] = dataset.folder.glob("part-*.parquet")
    pq.write_table(pq.read_table(part).drop_columns(["turns"]), part)
    [item] = dataset.iter_documents("train")
    assert "turns" not in item.meta


@pytest.mark.parametrize(
    "record",
    [
        {"user": "zoe", "text": "A long walk."},
        {"title": "a", "body": "b c"},
        {"input": "a b"},
        {"chosen": "a b"},
        {"a": "x y"},
    ],
    ids=str,
)
def test_other_tables_are_no_conversations(record: dict[str, Any]) -> None:
    assert parse_turns(record) == ()


@pytest.mark.parametrize(
    ("name", "header", "taken"),
    [
        ("a.csv", "Question,Answer", "Question → Answer"),
        ("b.csv", "Frage;Antwort", "Frage → Antwort"),
        ("c.csv", "", "question → answer"),
    ],
)
def test_it_is_said_what_was_read_as_pairs(tmp_path: Path, name: str, header: str, taken: str) -> None:
    delimiter = ";" if ";" in header else ","
    lines = [header] * bool(header) + [f'"{q}"{delimiter}"{a}"' for q, a in QUESTIONS]
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    report, items = run(tmp_path / name, Workspace(tmp_path / "w"))
    assert report.documents_kept == len(items) == 3
    assert sum(item.value.startswith("user: ") for item in items) == 3
    assert any(note.code == "collect.read_as_pairs" and taken in note.reason for note in report.notes)


@pytest.mark.parametrize("name", ["system", "system_prompt", "System_Message"])
def test_a_column_with_the_system_prompt_begins_the_conversation(name: str) -> None:
    turns = parse_turns({name: "Be brief.", "question": "Where is it?", "response": "Here."})
    assert [(turn.role, turn.content) for turn in turns] == [
        ("system", "Be brief."),
        ("user", "Where is it?"),
        ("assistant", "Here."),
    ]


@pytest.mark.parametrize("key", ["reasoning_content", "thinking"])
def test_reasoning_that_is_not_read_is_told(tmp_path: Path, key: str) -> None:
    rows = [talk(question, answer) for question, answer in QUESTIONS]
    rows[1]["messages"][1][key] = "Let me think."
    (tmp_path / "talks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report, items = run(tmp_path / "talks.jsonl", Workspace(tmp_path / "w"))
    assert len(items) == 3
    (note,) = [note for note in report.notes if note.code == "collect.rows_repaired"]
    assert f"row 2: {GenloomError('collect.reasoning_unread', key=key)}" in note.reason
