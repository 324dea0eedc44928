"""The loop of questions, answers and commands in which a person talks with a model."""

import difflib
import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from genloom.cli.console import Console, format_table
from genloom.cli.prompt_input import PromptInput
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
from genloom.rate.report.wording import format_count
from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace

INPUT_PROMPT = "› "
_MAX_LISTED = 10


class ChatREPL:
    """One person and one model; `said` is the conversation as it is now."""

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
        self.num_answers = 0  # so that with a seed the same question asked again is answered anew

    def run(self) -> None:
        """Questions and commands until the input ends or the person leaves."""
        self.console.print_note(f"Talking with {self.model.ref}. /help says what can be done; Ctrl-D leaves.")
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
        """Carry out a command, or ask what is none. Raises EOFError where the person wants to leave."""
        command, _, argument = line.partition(" ")
        if not line.startswith("/") or "/" in command[1:]:
            if line.strip():
                self.ask(line.strip())
            return
        if command not in COMMANDS:
            matches = difflib.get_close_matches(command, COMMANDS, n=1)
            hint = f"Did you mean {matches[0]}?" if matches else "/help shows what there is."
            raise ValueError(f"There is no command {command}. {hint} A question may begin with a blank.")
        _, handler, _ = COMMANDS[command]
        handler(self, argument.strip())

    def ask(self, text: str, should_store: bool = True) -> None:
        """Show and store the answer; the conversation is on disk with the question, and again with the answer."""
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
        """The finished draft, shown while it grows where a person watches."""
        draft, shown_text = None, ""
        for draft in engine.generate(self.model, request, is_interrupted):
            if self.console.is_live:
                self.console.print_text(draft.continuations[0][len(shown_text) :])
                shown_text = draft.continuations[0]
        assert draft is not None, "there is a prompt, so there is a draft"
        self.console.print_text(draft.continuations[0][len(shown_text) :] + "\n")
        return draft

    def _print_truncation(self, context: TruncatedConversation) -> None:
        if context.num_dropped:
            dropped_text = "message is" if context.num_dropped == 1 else f"{context.num_dropped} messages are"
            self.console.print_note(f"(the conversation is long: its first {dropped_text} not read any more)")
        if context.is_cut:
            self.console.print_note("(the question is longer than the model reads: only its end is read)")

    def build_result(self) -> dict[str, Any]:
        """The last answer, for scripts."""
        output_path, _ = self.workspace.get_output(self.conversation.outputs[-1])
        return {
            "model": self.model.ref,
            "question": self.conversation.questions[-1],
            "answer": self.conversation.messages[-1].content,
            "id": self.conversation.outputs[-1],
            "file": str(output_path),
            "conversation": self.conversation.id or None,
        }

    # the commands

    def help(self, _: str) -> None:
        for line in format_table([(usage, purpose) for usage, _, purpose in COMMANDS.values()]):
            self.console.print_line(line)
        self.console.print_line(
            'A line that ends in \\ goes on in the next; """ begins and ends a question of several lines.'
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
        )  # says whether there is such a question before asking for the text
        if not text:
            if not self.prompt_input.is_terminal:
                raise ValueError("Say what the question shall be: /edit NUMBER TEXT")
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
            raise ValueError("Nothing was said yet, so there is nothing to save.")
        self.conversation = self.workspace.save_conversation(
            self.conversation.with_title(argument or self.conversation.display_title)
        )
        self.console.print_note(f"Kept as {self.conversation.title!r} ({self.conversation.id})")

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
        self.console.print_note("A new conversation.")

    def tokens(self, _: str) -> None:
        num_tokens = 0
        if self.conversation.messages:
            num_tokens = len(
                truncate_conversation(
                    get_chat_codec(self.model), build_messages(self.conversation), self.model.design.context_length
                ).prompt_ids
            )
        self.console.print_line(f"{num_tokens} of the {self.model.design.context_length} symbols that the model reads")

    def quit(self, _: str) -> None:
        raise EOFError

    def _print_last_turn(self) -> None:
        """Where a conversation that was left stands."""
        for message in self.conversation.messages[-2:]:
            self.console.print_text(f"{INPUT_PROMPT if message.role == 'user' else ''}{message.content}\n")
        if self.conversation.is_awaiting_answer:
            self.console.print_note("(not answered yet: /retry)")


# What is typed, who carries it out, and what it is for.
COMMANDS: dict[str, tuple[str, Callable[[ChatREPL, str], None], str]] = {
    "/help": ("/help", ChatREPL.help, "show this"),
    "/retry": ("/retry", ChatREPL.retry, "answer the last question again, in another way"),
    "/edit": (
        "/edit [NUMBER] [TEXT]",
        ChatREPL.edit,
        "change a question, the last or that one, and drop what followed",
    ),
    "/system": ("/system [TEXT]", ChatREPL.system, "show or change what the model is told about its part"),
    "/save": ("/save [TITLE]", ChatREPL.save, "give the conversation a title"),
    "/load": ("/load TITLE", ChatREPL.load, "go on with a kept conversation, by title or id"),
    "/list": ("/list", ChatREPL.list, "show the kept conversations"),
    "/new": ("/new", ChatREPL.new, "begin another conversation"),
    "/tokens": ("/tokens", ChatREPL.tokens, "say how much of what the model can read is used"),
    "/quit": ("/quit", ChatREPL.quit, "leave"),
}


@contextmanager
def catch_interrupt() -> Generator[Callable[[], bool]]:
    """Within, a first Ctrl-C only makes the function given answer True; a second one stops everything."""
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
