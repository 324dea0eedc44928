"""A conversation changes turn by turn, is complete on disk after each, and is found by title or id."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace
from genloom.types import Message
from tests.errors import raises_code

TALK = (
    Conversation("Be brief.")
    .with_question("One?")
    .with_answer("1", "m/1", "o1")
    .with_question("Two?")
    .with_answer("2", "m/1", "o2")
)


def join_messages(talk: Conversation) -> str:
    return " ".join(message.content for message in talk.messages)


def test_user_and_assistant_alternate() -> None:
    assert join_messages(TALK) == "One? 1 Two? 2"
    assert [message.role for message in TALK.messages] == ["user", "assistant"] * 2
    assert TALK.outputs == ("", "o1", "", "o2")
    assert (TALK.is_awaiting_answer, TALK.with_question("Three?").is_awaiting_answer) == (False, True)
    assert TALK.questions == ("One?", "Two?")


def test_an_unanswered_question_is_replaced_by_the_next() -> None:
    assert join_messages(TALK.with_question("Lost?").with_question("Three?")) == "One? 1 Two? 2 Three?"


def test_the_last_answer_is_removed() -> None:
    assert join_messages(TALK.without_last_answer()) == "One? 1 Two?"
    assert TALK.without_last_answer().without_last_answer() == TALK.without_last_answer()
    with raises_code("store.no_question"):
        Conversation().without_last_answer()


def test_an_edited_question_drops_later_messages() -> None:
    assert join_messages(TALK.with_edited_question(2, "Drei?")) == "One? 1 Drei?"
    assert join_messages(TALK.with_edited_question(1, "Eins?")) == "Eins?"
    assert TALK.with_edited_question(1, "Eins?").outputs == ("",)
    for number in (0, 3, -1):
        with raises_code("store.no_such_question", number=number, count=2):
            TALK.with_edited_question(number, "?")


def test_the_title_is_given_or_the_first_question() -> None:
    assert TALK.display_title == "One?"
    assert TALK.with_title("  Counting\x1b[31m\n up ").display_title == "Counting [31m up"
    assert len(Conversation().with_question("word " * 100).display_title) == 60
    for title in ("", " \n", "x" * 61):
        with raises_code("store.bad_title", limit=60):
            TALK.with_title(title)


def test_a_saved_conversation_is_read_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    saved = workspace.save_conversation(TALK.with_title("Grüße 狐"))
    assert workspace.get_conversation(saved.id) == workspace.get_conversation("Grüße 狐") == saved
    assert replace(saved, id="", created="", changed="") == TALK.with_title("Grüße 狐")
    longer = workspace.save_conversation(saved.with_question("Three? \ud800 \u2028"))
    assert (longer.id, longer.created) == (saved.id, saved.created)
    assert longer.changed > saved.changed
    assert workspace.get_conversation(saved.id).questions[-1] == "Three? \ufffd \u2028"
    assert len(workspace.list_conversations()) == 1


def test_of_two_with_one_title_the_one_changed_last_is_meant(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first, second = (workspace.save_conversation(TALK) for _ in range(2))
    assert first.id != second.id
    assert workspace.get_conversation("One?").id == second.id
    workspace.save_conversation(first)
    assert workspace.get_conversation("One?").id == first.id
    assert [talk.id for talk in workspace.list_conversations()] == [second.id, first.id]
    with raises_code("store.unknown_name_near", kind="conversation", nearest="One?"):
        workspace.get_conversation("Onee?")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        *(json.dumps({"messages": said}) for said in ([3], [{"role": "user", "content": 1}])),
        json.dumps({"messages": [{"role": "assistant", "content": "x"}]}),
    ],
)
def test_a_damaged_one_is_named_and_the_others_stay(tmp_path: Path, content: str) -> None:
    workspace = Workspace(tmp_path)
    saved = workspace.save_conversation(TALK)
    spoilt = tmp_path / "conversations/2026-01-01-000000.json"
    spoilt.write_text(content)
    assert workspace.list_conversations() == [saved]
    (fault,) = workspace.list_faults()
    assert fault.startswith(f"{spoilt} is damaged: ")
    with raises_code("store.damaged", path=spoilt):
        workspace.get_conversation(spoilt.stem)


def test_a_writer_that_is_killed_leaves_the_last_turn(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from genloom.store.workspace import Workspace; "
        "from genloom.store.conversation import Conversation; "
        "w = Workspace(pathlib.Path(sys.argv[1])); "
        "talk = w.save_conversation(Conversation().with_question('0')); print()\n"
        "for n in range(10**6):\n"
        "  talk = w.save_conversation(talk.with_answer(str(n), 'm/1', '').with_question(str(n + 1)))\n"
        "  sys.stdout.write(f'{n + 1}\\n'); sys.stdout.flush()\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(12):
        acknowledged = writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    (talk,) = Workspace(tmp_path).list_conversations()
    assert int(talk.questions[-1]) >= int(acknowledged)
    assert talk.messages[-1] == Message("user", str(len(talk.questions) - 1))


def test_half_a_character_in_a_file_is_read_as_one_that_can_be_written(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    saved = workspace.save_conversation(Conversation().with_question("smile"))
    (file,) = tmp_path.glob("conversations/**/*.json")
    file.write_text(file.read_text(encoding="utf-8").replace("smile", "\\ud83d"), encoding="utf-8")
    (loaded,) = workspace.list_conversations()
    assert loaded.questions == ("\ufffd",)
    workspace.save_conversation(loaded.with_answer("yes", "m/1", ""))
    assert saved.id == loaded.id
