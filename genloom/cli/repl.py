"""The chat: a loop of questions, answers and commands."""

import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from genloom.cli.console import Console
from genloom.cli.prompt_input import PromptInput
from genloom.errors import GenloomError, nearest
from genloom.generate import engine
from genloom.generate.text.conversation import (
    TruncatedConversation,
    build_chat_request,
    build_messages,
    get_chat_codec,
    store_reply,
    truncate_conversation,
)
from genloom.model import Model
from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace
from genloom.text_format import format_count, format_table

INPUT_PROMPT = "› "
_MAX_LISTED = 10


class ChatREPL:
    """A chat of one person with one model."""

    def __init__(
        self,
        workspace: Workspace,
        console: Console,
        prompt_input: PromptInput,
        model: Model,
        params: Mapping[str, Any],
        seed: int | None,
        conversation: Conversation,
    ):
        self.workspace, self.console, self.prompt_input, self.model = workspace, console, prompt_input, model
        self.params, self.seed, self.conversation = params, seed, conversation
        self.num_answers = 0  # with a seed, so that a repeated question gets another answer

    def run(self) -> None:
        """Read questions and commands until the input ends or the person leaves."""
        self.console.print_note(f"Chatting with {self.model.ref}. /help lists the commands; Ctrl-D leaves.")
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
        """Run a command, or ask the line if it is none. Raises EOFError if the person leaves."""
        command, _, argument = line.partition(" ")
        if not line.startswith("/") or "/" in command[1:]:
            if line.strip():
                self.ask(line.strip())
            return
        if command not in COMMANDS:
            nearest_command = nearest(command, COMMANDS)
            if nearest_command is None:
                raise GenloomError("cli.unknown_command", command=command)
            raise GenloomError("cli.unknown_command_nearest", command=command, nearest=nearest_command)
        _, handler, _ = COMMANDS[command]
        handler(self, argument.strip())

    def ask(self, text: str, should_store: bool = True) -> None:
        """Show and store the answer; the conversation is saved with the question, and again with the answer."""
        conversation = self.conversation.with_question(text)
        self.conversation = self.workspace.save_conversation(conversation) if should_store else conversation
        self._answer(should_store)

    def _answer(self, should_store: bool = True) -> None:
        seed = None if self.seed is None else self.seed + self.num_answers
        request, context = build_chat_request(self.model, build_messages(self.conversation), seed, self.params)
        self._print_truncation(context)
        self.num_answers += 1
        with catch_interrupt() as is_interrupted:
            draft = self._generate_streaming(request, is_interrupted)
        self.conversation = store_reply(self.workspace, self.model, self.conversation, request, draft)
        if should_store:
            self.conversation = self.workspace.save_conversation(self.conversation)

    def _generate_streaming(self, request: engine.Request, is_interrupted: Callable[[], bool]) -> engine.Draft:
        """Return the final draft; on a terminal its text is printed as it is generated."""
        draft, shown_text = None, ""
        for draft in engine.generate(self.model, request, is_interrupted):
            if self.console.is_live:
                self.console.print_text(draft.continuations[0][len(shown_text) :])
                shown_text = draft.continuations[0]
        assert draft is not None, "a request yields at least one draft"
        self.console.print_text(draft.continuations[0][len(shown_text) :] + "\n")
        return draft

    def _print_truncation(self, context: TruncatedConversation) -> None:
        if context.num_dropped:
            dropped_text = format_count(context.num_dropped, "message")
            self.console.print_note(f"(the conversation exceeds the context: the first {dropped_text} dropped)")
        if context.is_cut:
            self.console.print_note("(the question exceeds the context: only its end is read)")

    def build_result(self) -> dict[str, Any]:
        """Return the last answer, for scripts."""
        output_path, _ = self.workspace.get_output(self.conversation.outputs[-1])
        return {
            "model": self.model.ref,
            "question": self.conversation.questions[-1],
            "answer": self.conversation.messages[-1].content,
            "id": self.conversation.outputs[-1],
            "file": str(output_path),
            "conversation": self.conversation.id or None,
        }

    # Commands

    def help(self, _: str) -> None:
        for line in format_table([(usage, purpose) for usage, _, purpose in COMMANDS.values()]):
            self.console.print_line(line)
        self.console.print_line(
            'A line that ends in \\ continues on the next; """ starts and ends a question of several lines.'
        )

    def retry(self, _: str) -> None:
        self.conversation = self.conversation.without_last_answer()
        self._answer()

    def edit(self, argument: str) -> None:
        """`/edit`, `/edit 2`, `/edit 2 another text`."""
        number, _, text = argument.partition(" ")
        if not number.isdecimal():
            number, text = str(len(self.conversation.questions)), argument
        self.conversation.with_edited_question(
            int(number), text
        )  # raises for a wrong number, before asking for the text
        if not text:
            if not self.prompt_input.is_terminal:
                raise GenloomError("cli.edit_command_without_text")
            text = self.prompt_input.read(
                INPUT_PROMPT, self.conversation.questions[int(number) - 1].replace("\n", " ")
            ).strip()
        if text:
            self.conversation = self.workspace.save_conversation(
                self.conversation.with_edited_question(int(number), text)
            )
            self._answer()

    def system(self, argument: str) -> None:
        if argument:
            self.conversation = replace(self.conversation, system=argument)
        self.console.print_note(f"The system prompt: {self.conversation.system or 'the model’s own'}")

    def save(self, argument: str) -> None:
        if not self.conversation.messages:
            raise GenloomError("cli.nothing_to_save")
        self.conversation = self.workspace.save_conversation(
            self.conversation.with_title(argument or self.conversation.display_title)
        )
        self.console.print_note(f"Saved as {self.conversation.title!r} ({self.conversation.id})")

    def load(self, argument: str) -> None:
        self.conversation = self.workspace.get_conversation(argument)
        self._print_last_turn()

    def list(self, _: str) -> None:
        conversations = self.workspace.list_conversations()[-_MAX_LISTED:]
        for line in format_table(
            [(t.id, format_count(len(t.questions), "question"), t.display_title) for t in conversations]
        ):
            self.console.print_line(line)

    def new(self, _: str) -> None:
        self.conversation = Conversation(system=self.conversation.system)
        self.console.print_note("New conversation.")

    def tokens(self, _: str) -> None:
        num_tokens = 0
        if self.conversation.messages:
            num_tokens = len(
                truncate_conversation(
                    get_chat_codec(self.model), build_messages(self.conversation), self.model.design.context_length
                ).prompt_ids
            )
        self.console.print_line(
            f"{num_tokens} of the {self.model.design.context_length} tokens of the context are used"
        )

    def quit(self, _: str) -> None:
        raise EOFError

    def _print_last_turn(self) -> None:
        """Show the last question and answer of a continued conversation."""
        for message in self.conversation.messages[-2:]:
            self.console.print_text(f"{INPUT_PROMPT if message.role == 'user' else ''}{message.content}\n")
        if self.conversation.is_awaiting_answer:
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
    "/save": ("/save [TITLE]", ChatREPL.save, "give the conversation a title"),
    "/load": ("/load TITLE", ChatREPL.load, "continue a saved conversation, by title or id"),
    "/list": ("/list", ChatREPL.list, "list the saved conversations"),
    "/new": ("/new", ChatREPL.new, "start a new conversation"),
    "/tokens": ("/tokens", ChatREPL.tokens, "show how much of the context is used"),
    "/quit": ("/quit", ChatREPL.quit, "leave"),
}


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
