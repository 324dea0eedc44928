"""The context of a chat: memory, attachments and summaries are read, recorded and shown, within bounds."""

from pathlib import Path
from typing import Any

import pytest

import genloom as gl
from genloom.api.chat import Chat
from genloom.api.chat_context import ChatContext, get_context
from genloom.cli import run
from genloom.errors import format_message
from genloom.store.conversation import EarlierSummary


def begin(ws: gl.Workspace, **more: Any) -> tuple[Chat, ChatContext]:
    chat = ws.model("tales").chat(seed=1, max_tokens=10, **more)
    return chat, get_context(chat)


def read_by(chat: Chat) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in chat.answer.record["conversation"]]


def test_a_model_is_told_the_memory(ws: gl.Workspace) -> None:
    chat, context = begin(ws)
    context.remember("I live in Graz")
    chat.ask("Where do I live?")
    assert read_by(chat)[0][0] == "system"
    assert "I live in Graz" in read_by(chat)[0][1]
    assert chat.answer.record["memory"] == ["I live in Graz"]
    assert chat.conversation.system == "", "the conversation itself is unchanged"
    context.forget("1")
    chat.ask("And now?")
    assert "memory" not in chat.answer.record


def test_an_edited_file_counts_from_the_next_question_on(ws: gl.Workspace) -> None:
    chat, context = begin(ws)
    memory = context.remember("One")
    memory.path.write_text("- Two\n")
    chat.ask("Well?")
    assert chat.answer.record["memory"] == ["Two"]


def test_an_attachment_is_read_beside_the_question_and_told(ws: gl.Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join(f"Paragraph {n} about the sea. " * 5 for n in range(30)))
    chat, context = begin(ws)
    context.attach(tmp_path / "a.txt")
    chat.ask("What about paragraph 17?")
    last = read_by(chat)[-1][1]
    assert "Paragraph 17" in last
    assert last.endswith("What about paragraph 17?")
    (entry,) = chat.answer.record["attachments"]
    assert 0 < entry["tokens"] < entry["of"]
    assert chat.conversation.questions == ("What about paragraph 17?",)
    assert context.detach() == ["a.txt"]
    chat.ask("And now?")
    assert "attachments" not in chat.answer.record


def test_what_falls_out_of_the_context_is_summarised_and_recorded(ws: gl.Workspace) -> None:
    chat, context = begin(ws)
    context.has_summaries = True
    for number in range(12):
        chat.ask(f"Question {number} " + "about the long history of the old king and the sea " * 2)
    summary = chat.conversation.summary
    assert summary is not None
    assert summary.num_messages % 2 == 0
    made = ws.output(summary.output)
    assert made.record["summary_of"]["messages"] == summary.num_messages
    assert made.record["summary_of"]["conversation"] == chat.conversation.id
    assert chat.context is not None
    assert chat.context.num_dropped == 0, "the summary stands for what no longer fits"
    assert summary.text in read_by(chat)[0][1]
    reopened = ws.model("tales").chat(conversation=chat.conversation.id)
    assert reopened.conversation.summary == summary


def test_an_edited_question_takes_the_summary_of_later_messages_along(ws: gl.Workspace) -> None:
    from dataclasses import replace

    chat, _ = begin(ws)
    chat.ask("One?")
    chat.ask("Two?")
    chat.conversation = replace(chat.conversation, summary=EarlierSummary("s", 2, "x"))
    assert chat.conversation.with_edited_question(2, "Three?").summary is not None
    assert chat.conversation.with_edited_question(1, "Three?").summary is None


def test_the_shares_of_the_context_add_up(ws: gl.Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A short text.")
    chat, context = begin(ws, system="Be kind.")
    context.remember("I live in Graz")
    context.attach(tmp_path / "a.txt")
    chat.ask("Well?")
    shares = {share.name: share.num_tokens for share in context.list_shares()}
    assert sum(shares.values()) == chat.context_length
    assert {"system prompt", "memory, 1 fact", "2 messages", "kept for the answer", "free"} <= set(shares)


def test_the_commands_of_the_chat(
    ws: gl.Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("A short text.")
    lines = iter(
        [
            "/memory",
            "/remember I live in Graz",
            "/memory",
            f"/attach {tmp_path / 'a.txt'}",
            "/attach",
            "Well?",
            "/context",
            "/forget 5",
            "/forget graz",
            "/detach b.txt",
            "/detach",
            "/summaries on",
            "/summaries maybe",
        ]
    )

    def next_line() -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", next_line)
    assert run(["chat", "tales", "--max-tokens", "10", "--seed", "1"]) == 0
    out, err = capsys.readouterr()
    assert "1. I live in Graz" in out
    assert "a.txt: 13 characters" in out
    assert "kept for the answer" in out
    assert "Forgotten: I live in Graz" in out
    assert format_message("assistant.no_such_fact", which="5", count=1) in err
    assert format_message("assistant.no_such_attachment", name="b.txt", known="a.txt") in err
    assert format_message("assistant.bad_switch", command="/summaries", value="maybe") in err


def test_options_of_the_chat_open_memory_and_files(
    ws: gl.Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("A short text.")
    (ws.folder / "memories").mkdir()
    (ws.folder / "memories/me.md").write_text("- I live in Graz\n")
    command = ["chat", "tales", "--memory", "me", "--attach", str(tmp_path / "a.txt"), "--prompt", "Well?"]
    assert run([*command, "--max-tokens", "5", "--seed", "1"]) == 0
    capsys.readouterr()
    record = ws.output("last").record
    assert record["memory"] == ["I live in Graz"]
    assert record["attachments"][0]["name"] == "a.txt"
    assert run(["chat", "tales", "--attach", str(tmp_path / "b.txt"), "--prompt", "Well?"]) == 2
    assert "[assistant.attachment_missing]" in capsys.readouterr().err
