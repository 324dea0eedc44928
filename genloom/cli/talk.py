"""The loop of questions, answers and commands in which a person talks with a model."""

import difflib
import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from genloom.cli.lines import Lines
from genloom.cli.screen import Screen, table
from genloom.generate import engine
from genloom.generate.conversation import Fitted, fitted, keep, messages_of, question, speaking
from genloom.model import Model
from genloom.rate.wording import counted
from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace

PROMPT = "› "
_LISTED = 10


class Talk:
    """One person and one model; `said` is the conversation as it is now."""

    def __init__(
        self,
        workspace: Workspace,
        screen: Screen,
        typed: Lines,
        model: Model,
        controls: Mapping[str, Any],
        seed: int | None,
        said: Conversation,
    ):
        self.workspace, self.screen, self.typed, self.model = workspace, screen, typed, model
        self.controls, self.seed, self.said = controls, seed, said
        self.answers = 0  # so that with a seed the same question asked again is answered anew

    def loop(self) -> None:
        """Questions and commands until the input ends or the person leaves."""
        self.screen.note(f"Talking with {self.model.ref}. /help says what can be done; Ctrl-D leaves.")
        self._show_last()
        while True:
            try:
                self.obey(self.typed.read(PROMPT))
            except EOFError:
                return
            except KeyboardInterrupt:
                self.screen.note("(Ctrl-D leaves, /retry asks again)")
            except ValueError as error:
                self.screen.note(str(error))

    def obey(self, line: str) -> None:
        """Carry out a command, or ask what is none. Raises EOFError where the person wants to leave."""
        word, _, rest = line.partition(" ")
        if not line.startswith("/") or "/" in word[1:]:
            if line.strip():
                self.ask(line.strip())
            return
        if word not in COMMANDS:
            close = difflib.get_close_matches(word, COMMANDS, n=1)
            hint = f"Did you mean {close[0]}?" if close else "/help shows what there is."
            raise ValueError(f"There is no command {word}. {hint} A question may begin with a blank.")
        _, carry_out, _ = COMMANDS[word]
        carry_out(self, rest.strip())

    def ask(self, text: str, kept: bool = True) -> None:
        """Show and store the answer; the conversation is on disk with the question, and again with the answer."""
        asked = self.said.asked(text)
        self.said = self.workspace.keep_conversation(asked) if kept else asked
        self._answer(kept)

    def _answer(self, kept: bool = True) -> None:
        seed = None if self.seed is None else self.seed + self.answers
        asked, given = question(self.model, messages_of(self.said), seed, self.controls)
        self._tell_shortened(given)
        self.answers += 1
        with interruptible() as stopped:
            draft = self._shown(asked, stopped)
        self.said = keep(self.workspace, self.model, self.said, asked, draft)
        if kept:
            self.said = self.workspace.keep_conversation(self.said)

    def _shown(self, asked: engine.Request, stopped: Callable[[], bool]) -> engine.Draft:
        """The finished draft, shown while it grows where a person watches."""
        draft, shown = None, ""
        for draft in engine.generate(self.model, asked, stopped):
            if self.screen.live:
                self.screen.text(draft.written[0][len(shown) :])
                shown = draft.written[0]
        assert draft is not None, "there is a prompt, so there is a draft"
        self.screen.text(draft.written[0][len(shown) :] + "\n")
        return draft

    def _tell_shortened(self, given: Fitted) -> None:
        if given.dropped:
            first = "message is" if given.dropped == 1 else f"{given.dropped} messages are"
            self.screen.note(f"(the conversation is long: its first {first} not read any more)")
        if given.cut:
            self.screen.note("(the question is longer than the model reads: only its end is read)")

    def facts(self) -> dict[str, Any]:
        """The last answer, for scripts."""
        output, _ = self.workspace.output(self.said.outputs[-1])
        return {
            "model": self.model.ref,
            "question": self.said.questions[-1],
            "answer": self.said.messages[-1].content,
            "id": self.said.outputs[-1],
            "file": str(output),
            "conversation": self.said.id or None,
        }

    # the commands

    def help(self, _: str) -> None:
        for line in table([(usage, purpose) for usage, _, purpose in COMMANDS.values()]):
            self.screen.say(line)
        self.screen.say('A line that ends in \\ goes on in the next; """ begins and ends a question of several lines.')

    def retry(self, _: str) -> None:
        self.said = self.said.unanswered()
        self._answer()

    def edit(self, rest: str) -> None:
        """`/edit`, `/edit 2`, `/edit 2 another text`."""
        number, _, text = rest.partition(" ")
        if not number.isdecimal():
            number, text = str(len(self.said.questions)), rest
        self.said.edited(int(number), text)  # says whether there is such a question before asking for the text
        if not text:
            if not self.typed.terminal:
                raise ValueError("Say what the question shall be: /edit NUMBER TEXT")
            text = self.typed.read(PROMPT, self.said.questions[int(number) - 1].replace("\n", " ")).strip()
        if text:
            self.said = self.workspace.keep_conversation(self.said.edited(int(number), text))
            self._answer()

    def system(self, rest: str) -> None:
        if rest:
            self.said = replace(self.said, system=rest)
        self.screen.note(f"The system prompt: {self.said.system or 'the model’s own'}")

    def save(self, rest: str) -> None:
        if not self.said.messages:
            raise ValueError("Nothing was said yet, so there is nothing to save.")
        self.said = self.workspace.keep_conversation(self.said.titled(rest or self.said.known_as))
        self.screen.note(f"Kept as {self.said.title!r} ({self.said.id})")

    def load(self, rest: str) -> None:
        self.said = self.workspace.conversation(rest)
        self._show_last()

    def list(self, _: str) -> None:
        talks = self.workspace.conversations()[-_LISTED:]
        for line in table([(t.id, counted(len(t.questions), "question"), t.known_as) for t in talks]):
            self.screen.say(line)

    def new(self, _: str) -> None:
        self.said = Conversation(system=self.said.system)
        self.screen.note("A new conversation.")

    def tokens(self, _: str) -> None:
        read = 0
        if self.said.messages:
            read = len(fitted(speaking(self.model), messages_of(self.said), self.model.design.length).ids)
        self.screen.say(f"{read} of the {self.model.design.length} symbols that the model reads")

    def leave(self, _: str) -> None:
        raise EOFError

    def _show_last(self) -> None:
        """Where a conversation that was left stands."""
        for message in self.said.messages[-2:]:
            self.screen.text(f"{PROMPT if message.role == 'user' else ''}{message.content}\n")
        if self.said.waits:
            self.screen.note("(not answered yet: /retry)")


# What is typed, who carries it out, and what it is for.
COMMANDS: dict[str, tuple[str, Callable[[Talk, str], None], str]] = {
    "/help": ("/help", Talk.help, "show this"),
    "/retry": ("/retry", Talk.retry, "answer the last question again, in another way"),
    "/edit": ("/edit [NUMBER] [TEXT]", Talk.edit, "change a question, the last or that one, and drop what followed"),
    "/system": ("/system [TEXT]", Talk.system, "show or change what the model is told about its part"),
    "/save": ("/save [TITLE]", Talk.save, "give the conversation a title"),
    "/load": ("/load TITLE", Talk.load, "go on with a kept conversation, by title or id"),
    "/list": ("/list", Talk.list, "show the kept conversations"),
    "/new": ("/new", Talk.new, "begin another conversation"),
    "/tokens": ("/tokens", Talk.tokens, "say how much of what the model can read is used"),
    "/quit": ("/quit", Talk.leave, "leave"),
}


@contextmanager
def interruptible() -> Generator[Callable[[], bool]]:
    """Within, a first Ctrl-C only makes the function given answer True; a second one stops everything."""
    pressed = False

    def press(*_: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
