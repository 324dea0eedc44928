"""A conversation, in one file of the workspace that is rewritten atomically after every turn."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.store import manifest
from genloom.text_format import fix_surrogates
from genloom.types import Message

_MAX_TITLE_CHARS = 60
_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Conversation:
    """The system prompt and the alternating messages of user and assistant; every change returns a new value."""

    system: str = ""
    messages: tuple[Message, ...] = ()
    outputs: tuple[str, ...] = ()  # one per message: the output id of an answer, "" for a user message
    title: str = ""
    model: str = ""  # the one that answered last
    id: str = ""  # "" until it is saved
    created: str = ""
    changed: str = ""

    def __post_init__(self) -> None:
        assert len(self.messages) == len(self.outputs)

    @property
    def display_title(self) -> str:
        """The title, or the beginning of the first question if there is no title."""
        first_message = " ".join(next((m.content for m in self.messages if m.role == "user"), "").split())
        return self.title or (
            first_message if len(first_message) <= _MAX_TITLE_CHARS else first_message[: _MAX_TITLE_CHARS - 1] + "…"
        )

    @property
    def is_awaiting_answer(self) -> bool:
        """Whether the last message is the user's."""
        return bool(self.messages) and self.messages[-1].role == "user"

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(m.content for m in self.messages if m.role == "user")

    def with_question(self, text: str) -> "Conversation":
        """Add a question; drop an unanswered one before it."""
        prefix = self._truncate(len(self.messages) - self.is_awaiting_answer)
        return replace(prefix, messages=(*prefix.messages, Message("user", text)), outputs=(*prefix.outputs, ""))

    def with_answer(self, text: str, model: str, output: str) -> "Conversation":
        assert self.is_awaiting_answer, "an answer follows a question"
        messages = (*self.messages, Message("assistant", text))
        return replace(self, messages=messages, outputs=(*self.outputs, output), model=model)

    def without_last_answer(self) -> "Conversation":
        """Remove the last answer, so that it can be regenerated. Raise ValueError if there is no question."""
        if not self.questions:
            raise GenloomError("store.no_question")
        return self if self.is_awaiting_answer else self._truncate(len(self.messages) - 1)

    def with_edited_question(self, number: int, text: str) -> "Conversation":
        """Replace the user's question `number`, counted from 1, and drop everything after it."""
        positions = [i for i, message in enumerate(self.messages) if message.role == "user"]
        if not 1 <= number <= len(positions):
            raise GenloomError("store.no_such_question", number=number, count=len(positions))
        return self._truncate(positions[number - 1]).with_question(text)

    def with_title(self, title: str) -> "Conversation":
        clean_title = " ".join("".join(c if c.isprintable() else " " for c in title).split())
        if not 0 < len(clean_title) <= _MAX_TITLE_CHARS:
            raise GenloomError("store.bad_title", limit=_MAX_TITLE_CHARS, title=title, size=len(clean_title))
        return replace(self, title=clean_title)

    def _truncate(self, end: int) -> "Conversation":
        return replace(self, messages=self.messages[:end], outputs=self.outputs[:end])


def write_conversation(path: Path, conversation: Conversation) -> None:
    """Write the conversation to the file atomically."""
    messages = [
        {"role": message.role, "content": message.content} | ({"output": output} if output else {})
        for message, output in zip(conversation.messages, conversation.outputs, strict=True)
    ]
    metadata = {name: getattr(conversation, name) for name in ("id", "title", "model", "created", "changed", "system")}
    manifest.write_json(path, {**metadata, "messages": messages})


def read_conversation(path: Path) -> Conversation:
    """Read the conversation in a file; ValueError names a damaged file."""
    content = manifest.read_json(path)
    metadata: dict[str, Any] = {n: str(content.get(n, "")) for n in ("title", "model", "created", "changed", "system")}
    if not isinstance(content.get("messages"), list):
        raise manifest.damaged_error(path, "it has no messages")
    entries = [_parse_message(path, entry) for entry in content["messages"]]
    if any(message.role != _ROLES[n % 2] for n, (message, _) in enumerate(entries)):
        raise manifest.damaged_error(path, f"the roles {' and '.join(_ROLES)} do not alternate")
    messages, outputs = tuple(message for message, _ in entries), tuple(output for _, output in entries)
    return replace(Conversation(**metadata), messages=messages, outputs=outputs, id=path.stem)


def _parse_message(path: Path, entry: Any) -> tuple[Message, str]:
    values = [entry.get(name, "") for name in ("role", "content", "output")] if isinstance(entry, Mapping) else [None]
    if not all(isinstance(value, str) for value in values):
        raise manifest.damaged_error(path, "a message is not text")
    role, content, output = values
    return Message(role, fix_surrogates(content)), output
