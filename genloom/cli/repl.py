"""The chat: a loop of questions, answers and commands."""

import signal
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from genloom.api.chat import Chat
from genloom.api.outputs import Output
from genloom.cli import context_commands
from genloom.cli.answer_notes import ANSWER_NOTES
from genloom.cli.console import Console
from genloom.cli.prompt_input import PromptInput
from genloom.errors import GenloomError, find_nearest
from genloom.generate.text.conversation import TruncatedConversation
from genloom.program import name_program
from genloom.text_format import format_count, format_table

INPUT_PROMPT = "› "
_MAX_LISTED = 10


class ChatREPL:
    """A chat of one person with one model."""

    def __init__(self, chat: Chat, console: Console, prompt_input: PromptInput):
        self.chat, self.console, self.prompt_input = chat, console, prompt_input
        self._cure = "another --seed asks again"

    def run(self) -> None:
        """Read questions and commands until the input ends or the person leaves."""
        self._cure = "/retry asks again"
        self.console.print_note(f"Chatting with {self.chat.model.ref}. /help lists the commands; Ctrl-D leaves.")
        self._print_last_turn()
        while True:
            try:
                self.execute_line(self.prompt_input.read(INPUT_PROMPT))
            except EOFError:
                return
            except KeyboardInterrupt:
                self.console.print_note("(Ctrl-D leaves, /retry asks again)")
            except ValueError as error:
                self.console.print_note(str(error))

    def execute_line(self, line: str) -> None:
        """Run a line that is a command, else ask it as a question. Raises EOFError if the person leaves."""
        command, _, argument = line.partition(" ")
        command = _SYNONYMS.get(command, command)
        if not line.startswith("/") or "/" in command[1:]:
            if line.strip():
                self.ask(line)
            return
        if command == "/rate":
            raise GenloomError("cli.rate_in_chat")
        if command not in COMMANDS:
            nearest_command = find_nearest(command, COMMANDS)
            if nearest_command is None:
                raise GenloomError("cli.unknown_command", command=command)
            raise GenloomError("cli.unknown_command_nearest", command=command, nearest=nearest_command)
        _, handler, _ = COMMANDS[command]
        handler(self, argument.strip())

    def ask(self, text: str) -> None:
        """Show the answer to a question."""
        with catch_interrupt() as is_interrupted:
            self._print_answer(self.chat.iter_ask(text, is_interrupted))

    def _print_answer(self, pieces: Iterable[str]) -> None:
        """Print the answer; on a terminal as it is generated."""
        answer, id = "", self.chat.conversation.id
        for n, piece in enumerate(pieces):
            if n == 0 and self.chat.context is not None:
                self._print_truncation(self.chat.context)
            answer += piece
            if self.console.is_live:
                self.console.print_text(piece)
        self.console.print_text("\n" if self.console.is_live else f"{answer}\n")
        if id not in ("", new_id := self.chat.conversation.id):
            self.console.print_note(f"(another program has changed this conversation: yours goes on as {new_id})")
        if not answer.strip():
            self.console.print_note(f"(the answer is empty; {self._cure})")
        elif self.chat.has_loop:
            self.console.print_note(f"(ended because it repeated itself; {self._cure})")
        elif self.chat.is_cut:
            self.console.print_note("(cut at the maximum number of tokens; for longer answers: --max-tokens)")
        for reader in self.chat.readers:
            for warning in reader.warnings:
                self.console.print_note(f"Warning: {warning}")
            self.console.print_lines(reader.lines, indent="  ")

    def _print_truncation(self, context: TruncatedConversation) -> None:
        if context.num_dropped:
            dropped_text = format_count(context.num_dropped, "message")
            self.console.print_note(f"(the conversation exceeds the context: the first {dropped_text} dropped)")
        if context.is_cut:
            self.console.print_note("(the question exceeds the context: only its end is read)")

    def build_result(self) -> dict[str, Any]:
        """Return the last answer, for scripts."""
        conversation = self.chat.conversation
        notes = {name: self.chat.answer.record[name] for name in ANSWER_NOTES if name in self.chat.answer.record}
        return {
            "model": self.chat.model.ref,
            "question": conversation.questions[-1],
            "answer": conversation.messages[-1].content,
            "id": conversation.outputs[-1],
            "file": str(self.chat.answer.path),
            "conversation": conversation.id or None,
            **notes,
            **({"calls": calls} if (calls := self.chat.list_calls()) else {}),
            **({"is_cut": True} if self.chat.is_cut else {}),
        }

    # Commands

    def help(self, _: str) -> None:
        self.console.print_lines(format_table([(usage, purpose) for usage, _, purpose in COMMANDS.values()]))
        self.console.print_line(
            'A line that ends in \\ continues on the next; """ starts and ends a question of several lines.'
        )

    def retry(self, _: str) -> None:
        with catch_interrupt() as is_interrupted:
            self._print_answer(self.chat.iter_retry(is_interrupted))

    def edit(self, argument: str) -> None:
        """`/edit`, `/edit 2`, `/edit 2 another text`."""
        questions = self.chat.conversation.questions
        if not questions:
            raise GenloomError("cli.no_question_to_edit")
        number, _, text = argument.partition(" ")
        if not number.isdecimal():
            number, text = str(len(questions)), argument
        self.chat.conversation.with_edited_question(int(number), text)  # raises for a wrong number, before asking
        if not text:
            if not self.prompt_input.is_terminal:
                raise GenloomError("cli.edit_command_without_text")
            text = self.prompt_input.read(INPUT_PROMPT, questions[int(number) - 1].replace("\n", " ")).strip()
        if text:
            with catch_interrupt() as is_interrupted:
                self._print_answer(self.chat.iter_edit(int(number), text, is_interrupted))

    def system(self, argument: str) -> None:
        if argument:
            self.chat.set_system(argument)
        self.console.print_note(f"The system prompt: {self.chat.conversation.system or 'the model’s own'}")

    def up(self, _: str) -> None:
        self._rate(up=True)

    def down(self, _: str) -> None:
        self._rate(up=False)

    def note(self, argument: str) -> None:
        if not argument:
            raise GenloomError("cli.empty_note")
        self._rate(note=argument)

    def _rate(self, **rating: Any) -> None:
        output = self._get_answer()
        output.rate(**rating)
        self.console.print_note(name_program(f"Rated {output.id}. Ratings are listed by: genloom ratings"))

    def show_id(self, _: str) -> None:
        output = self._get_answer()
        self.console.print_line(f"{output.id}  {output.path}")

    def _get_answer(self) -> Output:
        """Return the last answer. Raises GenloomError if there is none."""
        if not self.chat.conversation.outputs or self.chat.conversation.is_awaiting_answer:
            raise GenloomError("cli.no_answer")
        return self.chat.answer

    def save(self, argument: str) -> None:
        if not self.chat.conversation.messages:
            raise GenloomError("cli.nothing_to_save")
        self.chat.save(argument or self.chat.conversation.display_title)
        self.console.print_note(f"Saved as {self.chat.conversation.title!r} ({self.chat.conversation.id})")

    def load(self, argument: str) -> None:
        self.chat.conversation = self.chat.model.workspace.store.get_conversation(argument)
        self._print_last_turn()

    def list(self, _: str) -> None:
        conversations = self.chat.model.workspace.store.list_conversations()[-_MAX_LISTED:]
        for line in format_table(
            [(t.id, format_count(len(t.questions), "question"), t.display_title) for t in conversations]
        ):
            self.console.print_line(line)

    def new(self, _: str) -> None:
        self.chat.reset()
        self.console.print_note("New conversation, with the system prompt that the chat began with.")

    def tokens(self, _: str) -> None:
        self.console.print_line(
            f"{self.chat.num_tokens} of the {self.chat.context_length} tokens of the context are used"
        )

    def tools(self, _: str) -> None:
        tools = self.chat.tools
        if tools is None:
            self.console.print_note("This chat has no tools. Begin it with --tools, or --mcp SERVER.")
            return
        rows = [
            (each.name, "allowed" if each.name in tools.allowed else "asks", each.origin, each.description)
            for each in tools.tools
        ]
        self.console.print_lines(format_table(rows))

    def show_sources(self, _: str) -> None:
        for reader in self.chat.readers:
            self.console.print_lines(reader.passage_lines)
        if not self.chat.readers:
            raise GenloomError("knowledge.no_knowledge", model=self.chat.model.ref)

    def quit(self, _: str) -> None:
        raise EOFError

    def _print_last_turn(self) -> None:
        """Show the last question and answer of a continued conversation."""
        for message in self.chat.conversation.messages[-2:]:
            opening = {"user": INPUT_PROMPT, "tool": "= "}.get(message.role, "")
            self.console.print_text(f"{opening}{message.content}\n")
        if self.chat.conversation.is_awaiting_answer:
            self.console.print_note("(not answered yet: /retry)")


# Usage, handler and purpose of each command.
COMMANDS: dict[str, tuple[str, Callable[[ChatREPL, str], None], str]] = {
    "/help": ("/help", ChatREPL.help, "show this help"),
    "/retry": ("/retry", ChatREPL.retry, "answer the last question again, with another seed"),
    "/edit": (
        "/edit [NUMBER] [TEXT]",
        ChatREPL.edit,
        "change the last question, or that number, and drop what follows",
    ),
    "/system": ("/system [TEXT]", ChatREPL.system, "show or change the system prompt"),
    "/up": ("/up", ChatREPL.up, "rate the last answer: thumbs up"),
    "/down": ("/down", ChatREPL.down, "rate the last answer: thumbs down"),
    "/note": ("/note TEXT", ChatREPL.note, "write a note on the last answer"),
    "/id": ("/id", ChatREPL.show_id, "show the id of the last answer, and its file"),
    "/save": ("/save [TITLE]", ChatREPL.save, "give the conversation a title"),
    "/load": ("/load TITLE", ChatREPL.load, "continue a saved conversation, by title or id"),
    "/list": ("/list", ChatREPL.list, "list the saved conversations"),
    "/new": ("/new", ChatREPL.new, "start a new conversation, with the first system prompt"),
    "/tokens": ("/tokens", ChatREPL.tokens, "show how much of the context is used"),
    "/context": ("/context", context_commands.show_context, "show what the context is used for"),
    "/memory": ("/memory", context_commands.show_memory, "show the facts that the model is told"),
    "/remember": ("/remember TEXT", context_commands.remember_fact, "add a fact to the memory"),
    "/forget": ("/forget NUMBER|TEXT", context_commands.forget_facts, "remove a fact from the memory"),
    "/attach": ("/attach [FILE]", context_commands.attach_file, "read a file beside each question, or list those read"),
    "/detach": ("/detach [NAME]", context_commands.detach_files, "read a file, or all, no longer"),
    "/summaries": ("/summaries [on|off]", context_commands.switch_summaries, "summarise messages that no longer fit"),
    "/tools": ("/tools", ChatREPL.tools, "list the tools that the model may ask for"),
    "/sources": ("/sources", ChatREPL.show_sources, "show the passages that the last answer was written from"),
    "/quit": ("/quit", ChatREPL.quit, "leave"),
}


_SYNONYMS = {"/exit": "/quit", "/bye": "/quit"}  # of other programs


@contextmanager
def catch_interrupt() -> Generator[Callable[[], bool]]:
    """Yield a function that returns True after a first Ctrl-C; a second one raises KeyboardInterrupt."""
    is_pressed = False

    def on_signal(*_: Any) -> None:
        nonlocal is_pressed
        if is_pressed:
            raise KeyboardInterrupt
        is_pressed = True

    previous_handler = signal.signal(signal.SIGINT, on_signal)
    try:
        yield lambda: is_pressed
    finally:
        signal.signal(signal.SIGINT, previous_handler)
