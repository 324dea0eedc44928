"""A conversation: what was said, kept in one file of the workspace that is whole after every turn."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genloom.store import manifest
from genloom.types import Message

_MAX_TITLE_CHARS = 60  # characters of a title at most
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
    def display_title(self) -> str:
        """Its title, or where nobody gave it one, how it begins."""
        first_message = " ".join(next((m.content for m in self.messages if m.role == "user"), "").split())
        return self.title or (
            first_message if len(first_message) <= _MAX_TITLE_CHARS else first_message[: _MAX_TITLE_CHARS - 1] + "…"
        )

    @property
    def is_awaiting_answer(self) -> bool:
        """Whether the last word is the user's."""
        return bool(self.messages) and self.messages[-1].role == "user"

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(m.content for m in self.messages if m.role == "user")

    def with_question(self, text: str) -> "Conversation":
        """With another question; one before it that nobody answered is dropped."""
        prefix = self._truncate(len(self.messages) - self.is_awaiting_answer)
        return replace(prefix, messages=(*prefix.messages, Message("user", text)), outputs=(*prefix.outputs, ""))

    def with_answer(self, text: str, model: str, output: str) -> "Conversation":
        assert self.is_awaiting_answer, "an answer follows a question"
        messages = (*self.messages, Message("assistant", text))
        return replace(self, messages=messages, outputs=(*self.outputs, output), model=model)

    def without_last_answer(self) -> "Conversation":
        """Without what the assistant said last, to be answered again. Raises ValueError where nothing was asked."""
        if not self.questions:
            raise ValueError("Nothing was asked yet, so there is nothing to answer again.")
        return self if self.is_awaiting_answer else self._truncate(len(self.messages) - 1)

    def with_edited_question(self, number: int, text: str) -> "Conversation":
        """With another text as the user's question `number`, counted from 1; what followed it is dropped."""
        positions = [i for i, message in enumerate(self.messages) if message.role == "user"]
        if not 1 <= number <= len(positions):
            raise ValueError(f"There is no question {number} in this conversation; it has {len(positions)}.")
        return self._truncate(positions[number - 1]).with_question(text)

    def with_title(self, title: str) -> "Conversation":
        clean_title = " ".join("".join(c if c.isprintable() else " " for c in title).split())
        if not 0 < len(clean_title) <= _MAX_TITLE_CHARS:
            raise ValueError(f"A title has 1 to {_MAX_TITLE_CHARS} letters, and {title!r} has {len(clean_title)}.")
        return replace(self, title=clean_title)

    def _truncate(self, end: int) -> "Conversation":
        return replace(self, messages=self.messages[:end], outputs=self.outputs[:end])


def write_conversation(path: Path, conversation: Conversation) -> None:
    """Replace the file by the conversation as it is now; a reader finds the old or the new one."""
    messages = [
        {"role": message.role, "content": message.content} | ({"output": output} if output else {})
        for message, output in zip(conversation.messages, conversation.outputs, strict=True)
    ]
    metadata = {name: getattr(conversation, name) for name in ("id", "title", "model", "created", "changed", "system")}
    manifest.write_json(path, {**metadata, "messages": messages})


def read_conversation(path: Path) -> Conversation:
    """The conversation in a file; ValueError names the file if it is damaged."""
    content = manifest.read_json(path)
    metadata: dict[str, Any] = {n: str(content.get(n, "")) for n in ("title", "model", "created", "changed", "system")}
    if not isinstance(content.get("messages"), list):
        raise manifest.damaged_error(path, "it does not say what was said")
    entries = [_parse_message(path, entry) for entry in content["messages"]]
    if any(message.role != _ROLES[n % 2] for n, (message, _) in enumerate(entries)):
        raise manifest.damaged_error(path, f"{' and '.join(_ROLES)} do not take turns in it")
    messages, outputs = tuple(message for message, _ in entries), tuple(output for _, output in entries)
    return replace(Conversation(**metadata), messages=messages, outputs=outputs, id=path.stem)


def _parse_message(path: Path, entry: Any) -> tuple[Message, str]:
    values = [entry.get(name, "") for name in ("role", "content", "output")] if isinstance(entry, Mapping) else [None]
    if not all(isinstance(value, str) for value in values):
        raise manifest.damaged_error(path, "a message in it is no text")
    role, content, output = values
    return Message(role, content), output
