"""A chat as a person uses it (ask, stop, retry, edit, leave, continue), and as a script does."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from genloom.api.workspace import Workspace as open_workspace
from genloom.cli import run
from genloom.cli.prompt_input import open_prompt_input
from genloom.codecs.chat_template import DEFAULT_CHAT_TEMPLATE
from genloom.errors import format_message
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace


@pytest.fixture
def home(
    worlds: ModuleType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    made = worlds.trained_workspace(tmp_path_factory.getbasetemp() / "home")
    shutil.copytree(made.root / "models", tmp_path / "workspace/models")
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "workspace"))
    workspace = Workspace(tmp_path / "workspace")
    worlds.mark_chat_tuned(workspace, "tales")
    return workspace


def type_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *lines: str, options: tuple[str, ...] = ()
) -> tuple[str, str]:
    """Return what a chat shows (out, err) to a person who types these lines and leaves."""
    waiting: Iterator[str] = iter(lines)

    def next_line() -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", next_line)
    capsys.readouterr()
    assert run(["chat", "tales", "--max-tokens", "12", "--seed", "1", *options]) == 0
    return capsys.readouterr()


def test_one_question_for_a_script(home: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["chat", "tales", "--prompt", "Who saw the sea?", "--max-tokens", "20", "--seed", "3"]
    assert run(command) == 0
    out, err = capsys.readouterr()
    assert run([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert bool(err) == ("--max-tokens" in err) == facts.get("is_cut", False)
    assert (out, facts["question"], facts["model"]) == (facts["answer"] + "\n", "Who saw the sea?", "tales/1")
    assert Path(facts["file"]).read_text(encoding="utf-8") == facts["answer"]
    assert facts["conversation"] is None
    assert home.list_conversations() == []
    assert run(["generate", "--replay", facts["id"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == facts["answer"]


def test_one_question_from_standard_input(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "question").write_text("Who?\nAnd why?\n")
    with (tmp_path / "question").open() as question:
        monkeypatch.setattr(sys, "stdin", question)
        assert run(["chat", "tales", "--prompt", "-", "--max-tokens", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["question"] == "Who?\nAnd why?"


def test_the_cure_of_an_empty_answer_is_one_that_works(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genloom.api.chat.Chat.iter_ask", lambda *_: iter(()))
    monkeypatch.setattr("genloom.cli.repl.ChatREPL.build_result", lambda *_: {})
    _, err = type_lines(capsys, monkeypatch, "Who?")
    assert "the answer is empty; /retry asks" in err
    assert run(["chat", "tales", "--prompt", "Who?"]) == 0
    assert "the answer is empty; another --seed asks" in capsys.readouterr().err


def test_a_conversation_is_saved_and_continued(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = type_lines(
        capsys, monkeypatch, "Who is king?", "  /tmp is mine", "/save Of kings", options=("--system", "S")
    )
    (talk,) = home.list_conversations()
    assert (talk.title, talk.system, talk.model) == ("Of kings", "S", "tales/1")
    assert talk.questions == ("Who is king?", "/tmp is mine")
    assert out == "".join(message.content + "\n" for message in talk.messages[1::2])
    assert f"'Of kings' ({talk.id})" in err
    assert run(["list", "conversations"]) == 0
    assert re.search(rf"{talk.id}  tales/1  2 questions  \d+ bytes  'Of kings'", capsys.readouterr().out)
    out, _ = type_lines(capsys, monkeypatch, "More?", options=("--conversation", "Of kings"))
    assert out.startswith(f"› /tmp is mine\n{talk.messages[-1].content}\n"), "the last turn is shown"
    assert home.get_conversation(talk.id).questions[-1] == "More?"
    once = ["chat", "tales", "--prompt", "And?", "--conversation", talk.id, "--max-tokens", "5", "--json"]
    assert run(once) == 0
    assert json.loads(capsys.readouterr().out)["conversation"] == talk.id
    assert home.get_conversation(talk.id).questions[-1] == "And?"


def test_answers_are_retried_and_questions_edited(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["One?", "Two?", "/retry", "/retry", "/edit 1 Eins?", "/edit Uno?", "/edit 7 Seven?", "/edit"]
    _, err = type_lines(capsys, monkeypatch, *lines)
    (talk,) = home.list_conversations()
    assert talk.questions == ("Uno?",)
    assert len(home.list_outputs()) == 6, "a dropped answer is still an output"
    said = [home.get_output(output)[1] for output in home.list_outputs()]
    assert [record["prompt"] for record in said] == ["One?", "Two?", "Two?", "Two?", "Eins?", "Uno?"]
    assert len({record["request"]["nonces"][0] for record in said[1:4]}) == 3
    assert re.search(r"question 7 .*1", err)
    assert format_message("cli.edit_command_without_text") in err


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_answer_stays_if_another_is_not_made(
    home: Workspace, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | BaseException
) -> None:
    chat = open_workspace(home.root).model("tales").chat(max_tokens=5)
    chat.ask("One?")
    chat.ask("Two?")
    before = chat.conversation

    def fail(*_: object) -> Iterator[str]:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("genloom.generate.engine.generate", fail)
        with pytest.raises((KeyboardInterrupt, OSError)):
            list(chat.iter_retry())
    assert chat.conversation == before
    closed = chat.iter_retry()
    next(closed)
    closed.close()
    assert chat.conversation == before
    chat.ask("Three?")
    assert chat.conversation.questions == ("One?", "Two?", "Three?")
    assert home.get_conversation(before.id).outputs[:4] == before.outputs


def test_two_chats_in_one_conversation_lose_no_turn(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = open_workspace(home.root).model("tales").chat("One?", max_tokens=5).conversation
    lines = iter(["Mine?", "And mine?"])

    def type_line() -> str:
        line = next(lines, None)
        if line is None:
            raise EOFError
        if line == "And mine?":  # meanwhile, in another terminal
            open_workspace(home.root).model("tales").chat("Theirs?", conversation=saved.id, max_tokens=5)
        return line

    monkeypatch.setattr("builtins.input", type_line)
    assert run(["chat", "tales", "--conversation", saved.id, "--max-tokens", "5"]) == 0
    theirs, mine = home.list_conversations()
    assert (theirs.id, theirs.questions) == (saved.id, ("One?", "Mine?", "Theirs?"))
    assert mine.questions == ("One?", "Mine?", "And mine?")
    assert capsys.readouterr().err.count(mine.id) == 1


def test_several_conversations_exist_side_by_side(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["One?", "/new", "Two?", "/list", "/load One?", "More?", "/load Three?", "/tokens", "/quit", "never read"]
    out, err = type_lines(capsys, monkeypatch, *lines)
    second, first = home.list_conversations()
    assert (first.questions, second.questions) == (("One?", "More?"), ("Two?",))
    assert f"{first.id}  1 question  One?\n{second.id}  1 question  Two?" in out
    assert "'Three?'" in err
    assert re.search(r"\d+ of the 48 tokens", out)


def test_help_and_unknown_commands(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = type_lines(
        capsys, monkeypatch, "/help", "/retyr", "/retry", "/save", "", "   ", "/system You are a king.", "/system"
    )
    for command in ("/retry", "/edit [NUMBER] [TEXT]", "/load TITLE", "/quit"):
        assert f"\n{command} " in f"\n{out}"
    assert format_message("cli.unknown_command_nearest", command="/retyr", nearest="/retry") in err
    assert format_message("cli.nothing_to_save") in err
    assert len(err.splitlines()) == 6, (
        "the greeting, an error each for /retyr, /retry and /save, the system prompt twice"
    )
    assert err.count("You are a king.") == 2
    assert home.list_conversations() == home.list_outputs() == []


def test_other_words_for_leaving(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in ("/exit", "/bye"):
        _, err = type_lines(capsys, monkeypatch, word, "never asked")
        assert len(err.splitlines()) == 1, "the greeting"
    assert home.list_outputs() == []


def test_an_empty_answer_is_told(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genloom.api.chat.Chat.iter_ask", lambda *_: iter(("", " \n")))
    _, err = type_lines(capsys, monkeypatch, "Who?")
    assert "/retry" in err.splitlines()[-1]


def test_questions_of_several_lines(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_lines(capsys, monkeypatch, "One\\", "two\\", "three", '"""Vier', "", 'fünf"""', '"""', "six", '"""')
    (talk,) = home.list_conversations()
    assert talk.questions == ("One\ntwo\nthree", "Vier\n\nfünf", "six")


@pytest.mark.parametrize(
    ("lines", "question"), [(("One\\",), "One"), (("One\\", "two\\"), "One\ntwo"), (('"""One', "two"), "One\ntwo")]
)
def test_the_end_of_the_input_ends_a_question(
    lines: tuple[str, ...],
    question: str,
    home: Workspace,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    type_lines(capsys, monkeypatch, *lines)
    (talk,) = home.list_conversations()
    assert talk.questions == (question,)


@pytest.mark.parametrize("kind", ["none", "folder", "damaged", "no folder"])
def test_a_history_that_cannot_be_kept_does_not_matter(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history"
    if kind == "folder":
        path.mkdir()
    elif kind == "damaged":
        path.write_bytes(b"\xff\xfe\0bad\n" * 5)
    elif kind == "no folder":
        path.write_text("a file")
        path = path / "history"
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    with open_prompt_input(path) as prompt_input:
        assert prompt_input.is_terminal
    assert path.is_file() == (kind in ("none", "damaged"))


def test_an_edit_before_any_question_is_told(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, err = type_lines(capsys, monkeypatch, "/edit", "/edit 1 Who?")
    assert err.splitlines()[-2:] == [format_message("cli.no_question_to_edit")] * 2
    assert home.list_conversations() == []


def test_lines_of_windows_are_read_without_their_ends(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, err = type_lines(capsys, monkeypatch, "Who?\r", "/quit\r", "not asked\r")
    (talk,) = home.list_conversations()
    assert talk.questions == ("Who?",)
    assert "/quit" not in err.splitlines()[-1]


def test_a_long_conversation_reports_what_is_dropped(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, err = type_lines(capsys, monkeypatch, "x" * 20, "y" * 20, "z" * 60)
    assert "the first 2 messages dropped" in err
    assert "only its end is read" in err


def test_the_battery_gives_instructions_to_a_model_that_chats(
    home: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", "tales", "--battery", "--tasks", "instructions", "--limit", "3", "--json"]) == 0
    (score,) = json.loads(capsys.readouterr().out)["battery"]
    assert (score["task"], score["items"], len(score["credits"])) == ("instructions", 3, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tales", "--json"], "[cli.chat_json_without_prompt]"),
        (["tales", "--prompt", " "], "[api.empty_question]"),
        (["tales", "--prompt", "x", "--max-tokens", "0"], "[cli.invalid_integer]"),
        (["tales", "--prompt", "x", "--top-p", "7"], "[cli.invalid_number]"),
        (["tales", "--conversation", "none"], "'none'"),
        (["talse", "--prompt", "x"], "Did you mean 'tales'?"),
        (["masks", "--prompt", "x"], "masks/1"),
    ],
)
def test_an_error_is_one_line(
    home: Workspace, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(["chat", *arguments]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert words in err
    if "--json" in arguments:
        assert f"[{json.loads(out)['error']['code']}]" == words
    else:
        assert out == ""
    assert home.list_outputs() == []


class Person:
    """A person at a terminal."""

    def __init__(self, *arguments: str):
        self.ours, theirs = pty.openpty()
        # A shell ignores Ctrl-C for its background jobs, and their children inherit that.
        reset = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        command = [sys.executable, "-c", f"{reset}; from genloom.cli import main; main()", *arguments]
        environment = {**os.environ, "TERM": "dumb", "INPUTRC": os.devnull}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment
        )
        os.close(theirs)
        self.seen = b""

    def types(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def looks(self, wanted: str, end: float) -> None:
        """Read what appears next, which must be before `end`."""
        ready, _, _ = select.select([self.ours], [], [], max(end - time.monotonic(), 0))
        assert ready, f"{wanted} did not appear in {self.seen!r}"
        self.seen += os.read(self.ours, 65536)

    def waits_for(self, words: str, seconds: float = 600) -> str:
        """Wait for these words and return what appeared before them."""
        end = time.monotonic() + seconds
        while words.encode() not in self.seen:
            self.looks(repr(words), end)
        before, _, self.seen = self.seen.partition(words.encode())
        return before.decode()

    def reads(self, count: int, seconds: float = 600) -> str:
        """Read at least `count` bytes."""
        end = time.monotonic() + seconds
        while len(self.seen) < count:
            self.looks(f"{count} bytes", end)
        return self.seen.decode(errors="replace")

    def presses_ctrl_c_at_the_prompt(self) -> None:
        """Press Ctrl-C until a new prompt appears: readline misses a signal just before it waits for a key."""
        for _ in range(6):
            os.kill(self.process.pid, signal.SIGINT)
            with suppress(AssertionError):
                self.waits_for("› ", 10)
                return
        raise AssertionError(f"no new prompt appeared in {self.seen!r}")

    def leaves(self) -> int:
        """Press Ctrl-D at a prompt; before the prompt it would be lost."""
        self.waits_for("› ")
        self.types("\x04")
        return self.process.wait(600)

    def __enter__(self) -> "Person":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(600)
        os.close(self.ours)


def test_on_a_terminal(home: Workspace) -> None:
    """Editing, history, Ctrl-C during an answer and at the prompt, and Ctrl-D."""
    # With this seed neither answer ends by itself before it is stopped.
    with Person(
        "chat", "tales", "--max-tokens", "100000", "--temperature", "1.5", "--seed", "1", "--unmarked"
    ) as person:
        person.waits_for("› ")
        person.types("Who saw thy\x7fe sea?\n")
        person.waits_for("\n")
        person.reads(20)
        os.kill(person.process.pid, signal.SIGINT)
        assert "\x1b" not in person.waits_for("› ")
        (talk,) = home.list_conversations()
        assert talk.questions == ("Who saw the sea?",)
        assert 10 < len(talk.messages[1].content) < 100_000, "the interrupted answer is saved"
        person.types("half a question")
        person.waits_for("half a question")
        person.presses_ctrl_c_at_the_prompt()
        person.types("/edit\n")
        person.waits_for("› Who saw the sea?")
        person.types("\x15Who else?\n")
        person.waits_for("Who else?")
        person.waits_for("\n")
        person.reads(20)
        os.kill(person.process.pid, signal.SIGINT)
        person.waits_for("› ")
        person.types("/list\n")
        person.waits_for("1 question")
        assert person.leaves() == 0
    assert home.get_conversation(talk.id).questions == ("Who else?",)
    history = home.root / "conversations/history"
    assert "/list" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_answers_are_rated_in_the_chat(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["/up", "One?", "/up", "/note too short", "/id", "Two?", "/down", "/note", "/rate", "/new", "/down"]
    out, err = type_lines(capsys, monkeypatch, *lines)
    one, two = home.list_outputs()
    assert f"{one}  " in out
    ratings = [event.body for event in open_ledger(home.root).iter_entries(["rating"])]
    assert [(each["output"], each["scale"], each["value"], each["note"]) for each in ratings] == [
        (one, "thumb", 1, ""),
        (one, "note", 0, "too short"),
        (two, "thumb", -1, ""),
    ]
    assert err.count(format_message("cli.no_answer")) == 2, "before the first question, and in a new conversation"
    assert format_message("cli.empty_note") in err
    assert format_message("cli.rate_in_chat") in err


def test_a_system_prompt_is_refused_where_the_template_has_none(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_system = replace(DEFAULT_CHAT_TEMPLATE, prefixes={role: f"<|{role}|>" for role in ("user", "assistant")})
    for codec in ("bytes", "bpe"):
        monkeypatch.setattr(f"genloom.codecs.{codec}.DEFAULT_CHAT_TEMPLATE", without_system)
    _, err = type_lines(capsys, monkeypatch, "/system Be brief.", "One?")
    assert format_message("api.no_system_role", model="tales/1") in err
    (talk,) = home.list_conversations()
    assert (talk.system, talk.questions) == ("", ("One?",))
    assert run(["chat", "tales", "--system", "Be brief.", "--prompt", "One?"]) == 2


def test_a_new_conversation_has_the_first_system_prompt(
    home: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_lines(capsys, monkeypatch, "/system B", "One?", "/new", "Two?", options=("--system", "A"))
    assert sorted(talk.system for talk in home.list_conversations()) == ["A", "B"]


def test_several_turns_for_a_script(home: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("Who?\n\nAnd why?\n")
    command = ["chat", "tales", "--prompts", str(tmp_path / "questions.txt"), "--system", "S", "-o", "max_tokens=5"]
    assert run([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [turn["question"] for turn in result["turns"]] == ["Who?", "And why?"]
    assert result["answer"] == result["turns"][-1]["answer"]
    _, record = home.get_output(result["id"])
    assert [message["role"] for message in record["conversation"]] == ["system", "user", "assistant", "user"]
    assert record["request"]["params"]["max_tokens"] == 5
    (tmp_path / "questions.txt").write_text("\n")
    assert run(command) == 2
