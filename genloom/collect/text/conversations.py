"""Recognise conversations in rows of data: lists of messages, and pairs of an instruction and its answer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from genloom.errors import GenloomError
from genloom.types import Message

LIST_COLUMNS = ("messages", "conversations", "conversation")
PROMPT_COLUMNS, CONTEXT_COLUMNS, ANSWER_COLUMNS = (
    ("instruction", "prompt", "question"),
    ("input", "context"),
    ("output", "completion", "response", "answer"),
)
CONVERSATION_COLUMNS = frozenset((*LIST_COLUMNS, *PROMPT_COLUMNS, *CONTEXT_COLUMNS, *ANSWER_COLUMNS, "system"))
ROLE_ALIASES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot"), "assistant"),
}


def parse_turns(record: Mapping[str, Any]) -> tuple[Message, ...]:
    """Return the turns of a conversation, or () if the row is not one.

    Supports the lists of OpenAI (`messages`: role, content) and ShareGPT (`conversations`: from, value), also as JSON
    in a string, and pairs: an instruction, prompt or question, perhaps with an input or context, and its answer.
    Raises GenloomError for a row that looks like a conversation but cannot be learned from.
    """
    turns: list[Message] = []
    message_list = next((record[name] for name in LIST_COLUMNS if _is_message_list(record.get(name))), None)
    if message_list is not None:
        turns = [_parse_message(entry, number) for number, entry in enumerate(_parse_entries(message_list), 1)]
    else:
        prompt, answer = (_first_string(record, names) for names in (PROMPT_COLUMNS, ANSWER_COLUMNS))
        if prompt is None or answer is None:
            return ()
        context = _first_string(record, CONTEXT_COLUMNS) or ""
        turns = [Message("user", f"{prompt}\n\n{context}" if context.strip() else prompt), Message("assistant", answer)]
    system = record.get("system")
    if isinstance(system, str) and system.strip() and turns and turns[0].role != "system":
        turns.insert(0, Message("system", system))
    _check_turns(turns)
    return tuple(turns)


def render_conversation(turns: Sequence[Message]) -> str:
    """Return a conversation as text, for people and for finding copies."""
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)


def _is_message_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("["))


def _parse_entries(message_list: Any) -> list[Any]:
    if isinstance(message_list, list):
        return message_list
    try:
        entries = json.loads(message_list)
    except (ValueError, RecursionError):
        raise GenloomError("collect.messages_not_json") from None
    assert isinstance(entries, list), "JSON that begins with a bracket is a list"
    return entries


def _parse_message(entry: Any, number: int) -> Message:
    if not isinstance(entry, Mapping):
        raise GenloomError("collect.message_not_object", number=number)
    role, content = entry.get("role", entry.get("from")), entry.get("content", entry.get("value"))
    if role not in ROLE_ALIASES:
        raise GenloomError("collect.message_role", number=number, role=role)
    if isinstance(content, list):  # OpenAI's parts
        content = "".join(_parse_part(part, number) for part in content)
    if not isinstance(content, str):
        raise GenloomError("collect.message_without_text", number=number)
    return Message(ROLE_ALIASES[role], content)


def _parse_part(part: Any, number: int) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"]
    raise GenloomError("collect.message_not_text", number=number)


def _first_string(record: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((record[name] for name in names if isinstance(record.get(name), str)), None)


def _check_turns(turns: Sequence[Message]) -> None:
    for number, turn in enumerate(turns, 1):
        if not turn.content.strip():
            raise GenloomError("collect.message_empty", number=number, role=turn.role)
        if turn.role == "system" and number > 1:
            raise GenloomError("collect.late_system_message", number=number)
    if not any(turn.role == "assistant" for turn in turns):
        raise GenloomError("collect.no_assistant_message")
