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
# The roles that may follow each; "": at the beginning. A tool tells the result of a call that an answer made.
_NEXT_ROLES = {"": ("user",), "user": ("assistant",), "assistant": ("user", "tool"), "tool": ("tool", "assistant")}


@dataclass(frozen=True)
class EarlierSummary:
    """A summary of the first messages of a conversation, which a model reads in their place."""

    text: str
    num_messages: int
    output: str  # the id of the output that it is


@dataclass(frozen=True)
class Conversation:
    """The system prompt and the alternating messages of user and assistant; every change returns a new value.

    An answer that calls tools is followed by their results, and by another answer.
    """

    system: str = ""
    messages: tuple[Message, ...] = ()
    outputs: tuple[str, ...] = ()  # one per message: the output id of an answer, "" for a user message
    title: str = ""
    model: str = ""  # the one that answered last
    id: str = ""  # "" until it is saved
    created: str = ""
    changed: str = ""
    summary: EarlierSummary | None = None  # what fell out of the context; None: nothing did, or it is not summarised

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
        """Whether the last message is the user's, or the result of a tool."""
        return bool(self.messages) and self.messages[-1].role in ("user", "tool")

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(m.content for m in self.messages if m.role == "user")

    def with_question(self, text: str) -> "Conversation":
        """Add a question; drop an unanswered one before it."""
        prefix = self._truncate(self._find_last_question()) if self.is_awaiting_answer else self
        return replace(prefix, messages=(*prefix.messages, Message("user", text)), outputs=(*prefix.outputs, ""))

    def with_answer(self, text: str, model: str, output: str) -> "Conversation":
        assert self.is_awaiting_answer, "an answer follows a question"
        messages = (*self.messages, Message("assistant", text))
        return replace(self, messages=messages, outputs=(*self.outputs, output), model=model)

    def with_tool_result(self, text: str, is_trusted: bool = True) -> "Conversation":
        """Add the result of a call that the last answer made."""
        assert self.messages[-1].role in ("assistant", "tool"), "a result follows a call"
        message = Message("tool", text, is_trusted=is_trusted)
        return replace(self, messages=(*self.messages, message), outputs=(*self.outputs, ""))

    def without_last_answer(self) -> "Conversation":
        """Remove the last answer with its calls, so that it can be made again. Raise ValueError without a question."""
        if not self.questions:
            raise GenloomError("store.no_question")
        return self._truncate(self._find_last_question() + 1)

    def with_edited_question(self, number: int, text: str) -> "Conversation":
        """Replace the user's question `number`, counted from 1, and drop everything after it."""
        positions = [i for i, message in enumerate(self.messages) if message.role == "user"]
        if not 1 <= number <= len(positions):
            raise GenloomError("store.no_such_question", number=number, count=len(positions))
        return self._truncate(positions[number - 1]).with_question(text)

    def with_title(self, title: str) -> "Conversation":
        clean_title = " ".join("".join(c if c.isprintable() else " " for c in title).split())
        if not 0 < len(clean_title) <= _MAX_TITLE_CHARS:
            fields = {"limit": _MAX_TITLE_CHARS, "title": title[:_MAX_TITLE_CHARS], "size": len(clean_title)}
            raise GenloomError("store.bad_title", **fields)
        return replace(self, title=clean_title)

    def _find_last_question(self) -> int:
        return max(n for n, message in enumerate(self.messages) if message.role == "user")

    def _truncate(self, end: int) -> "Conversation":
        has_summary = self.summary is not None and self.summary.num_messages <= end
        summary = self.summary if has_summary else None
        return replace(self, messages=self.messages[:end], outputs=self.outputs[:end], summary=summary)


def write_conversation(path: Path, conversation: Conversation) -> None:
    """Write the conversation to the file atomically."""
    messages = [
        {"role": message.role, "content": message.content}
        | ({"output": output} if output else {})
        | ({} if message.is_trusted else {"is_trusted": False})
        for message, output in zip(conversation.messages, conversation.outputs, strict=True)
    ]
    metadata = {name: getattr(conversation, name) for name in ("id", "title", "model", "created", "changed", "system")}
    summary = {} if conversation.summary is None else {"summary": vars(conversation.summary)}
    manifest.write_record(path, {**metadata, **summary, "messages": messages})


def read_conversation(path: Path) -> Conversation:
    """Read the conversation in a file; ValueError names a damaged file."""
    content = manifest.read_json(path)
    metadata: dict[str, Any] = {n: str(content.get(n, "")) for n in ("title", "model", "created", "changed", "system")}
    if not isinstance(content.get("messages"), list):
        raise manifest.damaged_error(path, "it has no messages")
    entries = [_parse_message(path, entry) for entry in content["messages"]]
    roles = [message.role for message, _ in entries]
    if any(role not in _NEXT_ROLES[before] for before, role in zip(["", *roles], roles, strict=False)):
        raise manifest.damaged_error(path, "the roles user and assistant do not alternate")
    messages, outputs = tuple(message for message, _ in entries), tuple(output for _, output in entries)
    summary = _parse_summary(content.get("summary"), len(messages))
    return replace(Conversation(**metadata), messages=messages, outputs=outputs, id=path.stem, summary=summary)


def _parse_summary(entry: Any, num_messages: int) -> EarlierSummary | None:
    """Return the summary in a file; None if there is none that fits the messages: it can be made again."""
    match entry:
        case {"text": str(text), "num_messages": int(count), "output": str(output)} if 0 < count <= num_messages:
            return EarlierSummary(fix_surrogates(text), count, output)
    return None


def _parse_message(path: Path, entry: Any) -> tuple[Message, str]:
    values = [entry.get(name, "") for name in ("role", "content", "output")] if isinstance(entry, Mapping) else [None]
    if not all(isinstance(value, str) for value in values):
        raise manifest.damaged_error(path, "a message is not text")
    role, content, output = values
    return Message(role, fix_surrogates(content), is_trusted=entry.get("is_trusted") is not False), output
