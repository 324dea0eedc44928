"""Recognises conversations in rows of data: lists of messages, and pairs of an instruction and its answer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from genloom.types import Message

LISTS = ("messages", "conversations", "conversation")
ASKED, GIVEN, ANSWERED = (
    ("instruction", "prompt", "question"),
    ("input", "context"),
    ("output", "completion", "response", "answer"),
)
COLUMNS = frozenset((*LISTS, *ASKED, *GIVEN, *ANSWERED, "system"))
ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot"), "assistant"),
}


def turns_of(record: Mapping[str, Any]) -> tuple[Message, ...]:
    """The turns of a row that is a conversation; () where it is none.

    Knows the lists of OpenAI (`messages`: role, content) and ShareGPT (`conversations`: from, value), also as JSON in a
    string, and pairs: instruction, prompt or question, perhaps with an input or context, and the answer to it.
    ValueError says what is wrong with a row that looks like a conversation but cannot be learned from.
    """
    found: list[Message] = []
    listed = next((record[name] for name in LISTS if _is_list(record.get(name))), None)
    if listed is not None:
        found = [_message(entry, number) for number, entry in enumerate(_entries(listed), 1)]
    else:
        asked, answered = (_first(record, names) for names in (ASKED, ANSWERED))
        if asked is None or answered is None:
            return ()
        given = _first(record, GIVEN) or ""
        found = [Message("user", f"{asked}\n\n{given}" if given.strip() else asked), Message("assistant", answered)]
    system = record.get("system")
    if isinstance(system, str) and system.strip() and found and found[0].role != "system":
        found.insert(0, Message("system", system))
    _check(found)
    return tuple(found)


def rendered(turns: Sequence[Message]) -> str:
    """A conversation for people to read, and to find copies by."""
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("["))


def _entries(listed: Any) -> list[Any]:
    if isinstance(listed, list):
        return listed
    try:
        entries = json.loads(listed)
    except (ValueError, RecursionError):
        raise ValueError("its list of messages is not JSON") from None
    assert isinstance(entries, list), "what begins with a bracket is a list"
    return entries


def _message(entry: Any, number: int) -> Message:
    if not isinstance(entry, Mapping):
        raise ValueError(f"message {number} of the conversation is no object with a role and a content")
    role, content = entry.get("role", entry.get("from")), entry.get("content", entry.get("value"))
    if role not in ROLES:
        raise ValueError(f"message {number} has the role {role!r}; known are system, user and assistant")
    if isinstance(content, list):  # OpenAI's parts
        content = "".join(_part(part, number) for part in content)
    if not isinstance(content, str):
        raise ValueError(f"message {number} of the conversation has no text")
    return Message(ROLES[role], content)


def _part(part: Any, number: int) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"]
    raise ValueError(f"message {number} holds more than text, which is not learned")


def _first(record: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((record[name] for name in names if isinstance(record.get(name), str)), None)


def _check(turns: Sequence[Message]) -> None:
    for number, turn in enumerate(turns, 1):
        if not turn.content.strip():
            raise ValueError(f"message {number} of the conversation ({turn.role}) is empty")
        if turn.role == "system" and number > 1:
            raise ValueError(f"message {number} is of the system, which speaks only first")
    if not any(turn.role == "assistant" for turn in turns):
        raise ValueError("nothing in the conversation is said by the assistant")
