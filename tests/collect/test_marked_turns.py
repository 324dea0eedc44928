"""Conversations between the markers of a chat template are read as turns; markers in other texts are told."""

import json
from pathlib import Path

import pytest

from genloom.collect import Report, collect
from genloom.collect.text.conversations import parse_turns
from genloom.collect.text.marked_turns import parse_marked_turns
from genloom.store.workspace import Workspace
from genloom.types import Item, Message

TURNS = (Message("user", "How do bees find home?"), Message("assistant", "They remember landmarks."))
SYSTEM = Message("system", "Answer in one sentence.")
CHATML = "".join(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n" for turn in TURNS)
PROSE = "In ChatML, <|im_start|>user begins a question, and <|im_end|> ends it."


@pytest.fixture
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


def run(path: Path, workspace: Workspace) -> tuple[Report, list[Item]]:
    *_, last = collect([path], workspace, "talks", {"val": 0, "test": 0})
    assert last.report is not None
    return last.report, list(workspace.get_dataset("talks").iter_documents("train"))


@pytest.mark.parametrize(
    "text",
    [
        CHATML,
        CHATML.replace("\n", "\r\n").replace("\r", ""),
        CHATML.removesuffix("<|im_end|>\n"),
        CHATML + "<|im_start|>assistant\n",
        (
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHow do bees find home?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nThey remember landmarks.<|eot_id|>"
        ),
        (
            "<bos><start_of_turn>user\nHow do bees find home?<end_of_turn>\n"
            "<start_of_turn>model\nThey remember landmarks.<end_of_turn>\n"
        ),
        "<|user|>\nHow do bees find home?</s>\n<|assistant|>\nThey remember landmarks.</s>\n",
        "<s>[INST] How do bees find home? [/INST] They remember landmarks. </s>",
        (
            "Below is an instruction that describes a task. Write a response that appropriately completes the request."
            "\n\n### Instruction:\nHow do bees find home?\n\n### Response:\nThey remember landmarks.</s>"
        ),
        "### Instruction:\nHow do bees find home?\n\n### Input:\n\n\n### Response:\nThey remember landmarks.",
        "### Human: How do bees find home?\n### Assistant: They remember landmarks.",
        "### Human: How do bees find home?### Assistant: They remember landmarks.".replace("?###", "? ###"),
        "USER: How do bees find home? ASSISTANT: They remember landmarks.</s>",
        "### Human: How do bees find home?### Assistant: They remember landmarks.",
        "\n\nHuman: How do bees find home?\n\nAssistant: They remember landmarks.",
        (
            "<|im_start|>user<|im_sep|>How do bees find home?<|im_end|><|im_start|>assistant<|im_sep|>"
            "They remember landmarks.<|im_end|>"
        ),
        (
            "<|begin_of_text|><|header_start|>user<|header_end|>\n\nHow do bees find home?<|eot|>"
            "<|header_start|>assistant<|header_end|>\n\nThey remember landmarks.<|eot|>"
        ),
        (
            "<｜begin▁of▁sentence｜><｜User｜>How do bees find home?<｜Assistant｜>They remember landmarks."
            "<｜end▁of▁sentence｜>"
        ),
        (
            "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>How do bees find home?<|END_OF_TURN_TOKEN|>"
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>They remember landmarks.<|END_OF_TURN_TOKEN|>"
        ),
        "USER: How do bees find home?\nASSISTANT: They remember landmarks.\n",
    ],
)
def test_every_markup_gives_the_same_turns(text: str) -> None:
    assert parse_marked_turns(text) == [TURNS]


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "An introduction.\n" + CHATML,
        CHATML.replace("They", "<|im_end|> between\nThey"),
        "<|im_start|>tool\n4<|im_end|>\n<|im_start|>assistant\nFour.<|im_end|>",
        "<|im_start|>user\nA question without an answer<|im_end|>",
        "see [INST] and [INST]",
        "### Instruction:\nA question without an answer",
        "An introduction.\n\n### Instruction:\nAsk.\n\n### Response:\nAnswer.",
        "### Instruction:\nOne\n\n### Instruction:\nTwo\n\n### Response:\nAnswer.",
        "ASSISTANT: Do come in. USER: I do.",
        "USER: One. USER: Two. ASSISTANT: Three.",
        "The Human: a study\n\nAssistant: none of them",
        "A report on them.\n\nIt begins here. USER: How do they? ASSISTANT: So.",
        "no marker at all",
    ],
)
def test_anything_else_is_no_conversation(text: str) -> None:
    assert parse_marked_turns(text) == []


def test_a_system_prompt_or_an_end_of_text_begins_another_conversation() -> None:
    system = f"<|im_start|>system\n{SYSTEM.content}<|im_end|>\n"
    assert parse_marked_turns((system + CHATML) * 2) == [(SYSTEM, *TURNS)] * 2
    assert parse_marked_turns(CHATML + "<|endoftext|>" + CHATML) == [TURNS] * 2
    llama = f"<s>[INST] <<SYS>>\n{SYSTEM.content}\n<</SYS>>\n\n{TURNS[0].content} [/INST] {TURNS[1].content} </s>"
    assert parse_marked_turns(llama * 2) == [(SYSTEM, *TURNS)] * 2
    mistral = f"<s>[SYSTEM_PROMPT]{SYSTEM.content}[/SYSTEM_PROMPT][INST]{TURNS[0].content}[/INST]{TURNS[1].content}</s>"
    assert parse_marked_turns(mistral) == [(SYSTEM, *TURNS)]
    vicuna = f"{SYSTEM.content} USER: {TURNS[0].content} ASSISTANT: {TURNS[1].content}</s>"
    assert parse_marked_turns(vicuna) == [(SYSTEM, *TURNS)]
    more = f"{vicuna}USER: {TURNS[0].content} ASSISTANT: {TURNS[1].content}</s>"
    assert parse_marked_turns(more) == [(SYSTEM, *TURNS, *TURNS)]


def test_an_input_of_alpaca_belongs_to_its_instruction() -> None:
    text = "### Instruction:\nName the colour.\n\n### Input:\nA bee\n\n### Response:\nYellow."
    assert parse_marked_turns(text) == [(Message("user", "Name the colour.\n\nA bee"), Message("assistant", "Yellow."))]


def test_a_prompt_that_was_rendered_is_unpacked() -> None:
    prompt, answer = CHATML.split("They")
    assert parse_turns({"prompt": prompt, "completion": "They" + answer}) == TURNS


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_files_with_markers_are_collected_as_conversations(name: str, tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / name
    content = {"a.txt": CHATML, "a.jsonl": json.dumps({"text": CHATML}), "a.csv": f'text,id\n"{CHATML}",1\n'}[name]
    path.write_text(content, encoding="utf-8")
    report, (item,) = run(path, workspace)
    assert item.meta["turns"] == TURNS
    assert "collect.read_marked" in {note.code for note in report.notes}


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.html"])
def test_markers_in_other_texts_are_told(name: str, tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / name
    prose = PROSE.replace("<", "&lt;") if name == "a.html" else PROSE
    path.write_text(json.dumps({"text": PROSE}) if name == "a.jsonl" else prose, encoding="utf-8")
    report, (item,) = run(path, workspace)
    assert item.value == PROSE
    assert {note.code for note in report.notes} & {"collect.markers_as_text", "collect.rows_repaired"}


def test_a_file_of_nothing_but_a_byte_order_mark_is_empty(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf")
    (tmp_path / "b.txt").write_text("This file has a text.", encoding="utf-8")
    report, _ = run(tmp_path, workspace)
    assert {note.code for note in report.notes} == {"collect.empty_file"}
