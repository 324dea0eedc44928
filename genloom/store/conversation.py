"""A conversation: what was said, kept in one file of the workspace that is whole after every turn."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genloom.store import manifest
from genloom.types import Message

_TITLE = 60  # characters of a title at most
_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Conversation:
    """The system prompt and what user and assistant said in turn; every change gives another value."""

    system: str = ""
    messages: tuple[Message, ...] = ()
    outputs: tuple[str, ...] = ()  # one a message: the id of the output that an answer is, "" of what the user said
    title: str = ""
    model: str = ""  # who answered last
    id: str = ""  # "" until it is kept
    created: str = ""
    changed: str = ""

    def __post_init__(self) -> None:
        assert len(self.messages) == len(self.outputs)

    @property
    def known_as(self) -> str:
        """Its title, or where nobody gave it one, how it begins."""
        begun = " ".join(next((m.content for m in self.messages if m.role == "user"), "").split())
        return self.title or (begun if len(begun) <= _TITLE else begun[: _TITLE - 1] + "…")

    @property
    def waits(self) -> bool:
        """Whether the last word is the user's."""
        return bool(self.messages) and self.messages[-1].role == "user"

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(m.content for m in self.messages if m.role == "user")

    def asked(self, text: str) -> "Conversation":
        """With another question; one before it that nobody answered is dropped."""
        before = self._until(len(self.messages) - self.waits)
        return replace(before, messages=(*before.messages, Message("user", text)), outputs=(*before.outputs, ""))

    def answered(self, text: str, model: str, output: str) -> "Conversation":
        assert self.waits, "an answer follows a question"
        messages = (*self.messages, Message("assistant", text))
        return replace(self, messages=messages, outputs=(*self.outputs, output), model=model)

    def unanswered(self) -> "Conversation":
        """Without what the assistant said last, to be answered again. Raises ValueError where nothing was asked."""
        if not self.questions:
            raise ValueError("Nothing was asked yet, so there is nothing to answer again.")
        return self if self.waits else self._until(len(self.messages) - 1)

    def edited(self, number: int, text: str) -> "Conversation":
        """With another text as the user's question `number`, counted from 1; what followed it is dropped."""
        at = [i for i, message in enumerate(self.messages) if message.role == "user"]
        if not 1 <= number <= len(at):
            raise ValueError(f"There is no question {number} in this conversation; it has {len(at)}.")
        return self._until(at[number - 1]).asked(text)

    def titled(self, title: str) -> "Conversation":
        shown = " ".join("".join(c if c.isprintable() else " " for c in title).split())
        if not 0 < len(shown) <= _TITLE:
            raise ValueError(f"A title has 1 to {_TITLE} letters, and {title!r} has {len(shown)}.")
        return replace(self, title=shown)

    def _until(self, end: int) -> "Conversation":
        return replace(self, messages=self.messages[:end], outputs=self.outputs[:end])


def write(path: Path, conversation: Conversation) -> None:
    """Replace the file by the conversation as it is now; a reader finds the old or the new one."""
    said = [
        {"role": message.role, "content": message.content} | ({"output": output} if output else {})
        for message, output in zip(conversation.messages, conversation.outputs, strict=True)
    ]
    facts = {name: getattr(conversation, name) for name in ("id", "title", "model", "created", "changed", "system")}
    manifest.write_json(path, {**facts, "messages": said})


def read(path: Path) -> Conversation:
    """The conversation in a file; ValueError names the file if it is damaged."""
    content = manifest.read_json(path)
    facts: dict[str, Any] = {n: str(content.get(n, "")) for n in ("title", "model", "created", "changed", "system")}
    if not isinstance(content.get("messages"), list):
        raise manifest.damaged(path, "it does not say what was said")
    said = [_said(path, entry) for entry in content["messages"]]
    if any(message.role != _ROLES[n % 2] for n, (message, _) in enumerate(said)):
        raise manifest.damaged(path, f"{' and '.join(_ROLES)} do not take turns in it")
    messages, outputs = tuple(message for message, _ in said), tuple(output for _, output in said)
    return replace(Conversation(**facts), messages=messages, outputs=outputs, id=path.stem)


def _said(path: Path, entry: Any) -> tuple[Message, str]:
    values = [entry.get(name, "") for name in ("role", "content", "output")] if isinstance(entry, Mapping) else [None]
    if not all(isinstance(value, str) for value in values):
        raise manifest.damaged(path, "a message in it is no text")
    role, content, output = values
    return Message(role, content), output
