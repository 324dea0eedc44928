"""The exports of chat programs are conversations: of each tree the branch that was open last; others are told."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from genloom.collect import Report, collect
from genloom.collect.text.conversations import parse_turns
from genloom.errors import GenloomError
from genloom.store.workspace import Workspace
from genloom.types import Message
from tests.errors import raises_code


def build_chatgpt(title: str = "Bees", *more: dict[str, Any]) -> dict[str, Any]:
    """Return a conversation as ChatGPT exports it: hidden beginning, an edited question, an answer given twice."""

    def node(id: str, parent: str | None, role: str = "", text: Any = "", **changes: Any) -> dict[str, Any]:
        content = {"content_type": "text", "parts": text if isinstance(text, list) else [text]}
        message = {
            "id": id,
            "author": {"role": role, "name": None, "metadata": {}},
            "create_time": 1700000000.5,
            "content": content,
            "status": "finished_successfully",
            "weight": 1.0,
            "metadata": {},
            "recipient": "all",
        }
        return {"id": id, "message": {**message, **changes} if role else None, "parent": parent, "children": []}

    instructions = {"content_type": "user_editable_context", "user_profile": "I am a baker."}
    nodes = [
        node("root", None),
        node("hidden", "root", "system", "", metadata={"is_visually_hidden_from_conversation": True}),
        node("about", "hidden", "user", content=instructions),
        node("first", "about", "user", f"How do bees find home, {title}?"),
        node("edited", "about", "user", f"How do bees find their way home, {title}?"),
        node("typo", "first", "assistant", "By luck."),
        node("thinking", "edited", "assistant", content={"content_type": "thoughts", "thoughts": []}),
        node("answer", "thinking", "assistant", "They remember landmarks."),
        node("again", "thinking", "assistant", ["They read the light", "of the sky."]),
        node("thanks", "again", "user", "And in fog?"),
        node("end", "thanks", "assistant", "Then they wait."),
    ]
    nodes += [node(**each) for each in more]
    for each in nodes:
        each["children"] = [child["id"] for child in nodes if child["parent"] == each["id"]]
    mapping = {each["id"]: each for each in nodes}
    return {"title": title, "mapping": mapping, "current_node": nodes[-1]["id"], "conversation_id": title}


def build_open_webui() -> dict[str, Any]:
    thoughts = '<details type="reasoning" done="true">\n<summary>Thought for 2 seconds</summary>\n> Sky?\n</details>\n'
    messages = {
        "q": {"id": "q", "parentId": None, "childrenIds": ["a", "b"], "role": "user", "content": "Why is it blue?"},
        "a": {"id": "a", "parentId": "q", "childrenIds": [], "role": "assistant", "content": "Paint."},
        "b": {"id": "b", "parentId": "q", "childrenIds": [], "role": "assistant", "content": f"{thoughts}It scatters."},
    }
    history = {"messages": messages, "currentId": "b"}
    return {"id": "1", "title": "Sky", "chat": {"title": "Sky", "params": {"system": "Be brief."}, "history": history}}


def run(source: Path, tmp_path: Path) -> tuple[Report, list[tuple[Message, ...]]]:
    workspace = Workspace(tmp_path / "workspace")
    *_, last = collect([source], workspace, "chats", {"workers": 1})
    assert last.report is not None
    dataset = workspace.get_dataset("chats")
    return last.report, [i.value for split in ("train", "val", "test") for i in dataset.iter_documents(split)]


def test_the_branch_that_was_open_last_is_read() -> None:
    assert parse_turns(build_chatgpt()) == (
        Message("user", "How do bees find their way home, Bees?"),
        Message("assistant", "They read the light\n\nof the sky."),
        Message("user", "And in fog?"),
        Message("assistant", "Then they wait."),
    )
    assert parse_turns(build_open_webui()) == (
        Message("system", "Be brief."),
        Message("user", "Why is it blue?"),
        Message("assistant", "It scatters."),
    )


def test_what_is_more_than_text_is_refused_with_its_reason() -> None:
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://1"}
    drawn = build_chatgpt("x", {"id": "look", "parent": "end", "role": "user", "text": [picture, "What is it?"]})
    with raises_code("collect.message_not_text", number=5):
        parse_turns(drawn)
    call = {"id": "call", "parent": "thanks", "role": "assistant", "text": "print(1)", "recipient": "python"}
    with raises_code("collect.message_role", number=4, role="tool call"):
        parse_turns(build_chatgpt("x", call))


@pytest.mark.parametrize("odd", [None, 7, "text", ["a"], {"a": []}])
def test_odd_values_are_no_bug(odd: Any) -> None:
    """Any field of an export may be of another kind: the conversation is read, refused, or none."""

    def replace_each(value: Any) -> Iterator[Any]:
        yield odd
        if isinstance(value, dict):
            yield from ({**value, key: changed} for key, inner in value.items() for changed in replace_each(inner))

    for record in (build_chatgpt(), build_open_webui()):
        for changed in replace_each(record):
            with suppress(GenloomError):
                parse_turns(changed if isinstance(changed, dict) else {"chat": changed})


def test_an_export_is_collected_from_its_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("user.json", '{"id": "me"}')
        archive.writestr("chat.html", "<p>the same once more</p>")
        archive.writestr("conversations.json", json.dumps([build_chatgpt("Ann"), build_chatgpt("Ben")]))
    report, chats = run(tmp_path / "export.zip", tmp_path)
    assert len(chats) == report.counters["conversations"]["documents"] == 2
    (branches,) = [note for note in report.notes if note.code == "collect.branches_left_out"]
    assert branches.source == "export.zip/conversations.json"
    assert branches.reason.startswith("4 "), "an edited question and a second answer in each"


def test_a_file_of_one_program_and_other_archives(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "chat-export-1700000000.json").write_text(json.dumps([build_open_webui()]))
    with zipfile.ZipFile(folder / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a text")
    report, chats = run(folder, tmp_path)
    assert len(chats) == 1
    assert {note.code for note in report.notes} >= {"collect.unsupported_suffix", "collect.branches_left_out"}
