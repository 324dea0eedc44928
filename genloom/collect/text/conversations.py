"""Recognise conversations in rows of data: lists of messages, and pairs of an instruction and its answer."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from genloom.collect.text import chat_exports, marked_turns
from genloom.errors import GenloomError
from genloom.types import Message

LIST_COLUMNS = ("messages", "conversations", "conversation")
PROMPT_COLUMNS = ("instruction", "prompt", "question", "query", "frage", "pregunta")
CONTEXT_COLUMNS = ("input", "context")
SYSTEM_COLUMNS = ("system", "system_prompt", "system_message")
SYSTEM_CONTENT_COLUMNS = ("systeminstruction", "system_instruction")  # of Gemini, with `parts`
ANSWER_COLUMNS = ("output", "completion", "response", "answer", "answers", "reply", "antwort", "respuesta", "chosen")
PREFERRED_COLUMN = "preferred_output"  # of OpenAI's pairs, beside `input` with its messages
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "thoughts")  # beside the content of an answer
ROLE_KEYS = ("role", "from", "sender")  # of a message
CONTENT_KEYS = ("content", "value", "text", "parts")
# Names that mean a prompt and its answer only beside each other.
PAIRED_COLUMNS = (
    *((user, assistant) for user in ("user", "human") for assistant in ("assistant", "bot", "gpt", "response")),
    ("q", "a"),
    ("problem", "solution"),
    ("input", "output"),
    ("input", "response"),
    ("input", "target"),
)
CONVERSATION_COLUMNS = frozenset(
    (
        *LIST_COLUMNS,
        *PROMPT_COLUMNS,
        *CONTEXT_COLUMNS,
        *ANSWER_COLUMNS,
        *(n for p in PAIRED_COLUMNS for n in p),
        *SYSTEM_COLUMNS,
        *SYSTEM_CONTENT_COLUMNS,
        PREFERRED_COLUMN,
    )
)
TRANSCRIPT_ROLE = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant): ?")
ROLE_ALIASES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot"), "assistant"),
}


def parse_turns(record: Mapping[str, Any]) -> tuple[Message, ...]:
    """Return the turns of a conversation, or () if the row is not one. Names are compared without their case.

    Supports the lists of OpenAI (`messages`: role, content) and ShareGPT (`conversations`: from, value), also as JSON
    in a string, and lists of such messages under any other name, as of Claude (`chat_messages`: sender, text) and
    Gemini (`contents`: role, parts); those of TRL (`prompt` and `completion` or `chosen`, each a list of messages) and
    OpenAI's pairs (`input`, `preferred_output`); pairs: a prompt, perhaps with an input or context, its answer (of
    several the first, which is the best) and the pairs before it (`history`); the transcripts of hh-rlhf (`chosen`,
    `rejected`); and exports (see `chat_exports`).
    Raises GenloomError for a row that looks like a conversation but cannot be learned from.
    """
    names = find_columns(record)
    if not names:
        return ()
    turns: list[Message] = []
    fields = {str(name).strip().lower(): _unwrap_value(value) for name, value in record.items()}
    first, *others = (fields[name.strip().lower()] for name in names)
    if chat_exports.find_column(record):
        turns = [_parse_message(entry, number) for number, entry in enumerate(chat_exports.list_entries(record), 1)]
    elif _is_message_list(first):
        entries = [each for value in (first, *others) for entry in _parse_entries(value) for each in _split_pair(entry)]
        turns = [_parse_message(entry, number) for number, entry in enumerate(entries, 1)]
    elif not others:
        turns = _parse_transcript(first)
    else:
        if fields.get("label") is False:  # of TRL's unpaired preferences
            raise GenloomError("collect.labelled_bad")
        prompt, answer = first, str(others[0][0] if isinstance(others[0], list) else others[0])
        if len(marked := marked_turns.parse_marked_turns(prompt + answer)) == 1:  # a prompt that was rendered
            return marked[0]
        context = _first_string(fields, CONTEXT_COLUMNS) or ""
        has_context = context.strip() and names[0].strip().lower() in PROMPT_COLUMNS
        turns = [Message("user", f"{prompt}\n\n{context}" if has_context else prompt), Message("assistant", answer)]
        turns[:0] = _parse_history(fields.get("history"))
    system = _first_string(fields, SYSTEM_COLUMNS) or _read_system_content(fields)
    if system.strip() and turns and turns[0].role != "system":
        turns.insert(0, Message("system", system))
    _check_turns(turns)
    return tuple(turns)


def find_columns(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns of the conversation as they are spelled: one or two; () if the row is not a conversation."""
    if export := chat_exports.find_column(record):
        return (export,)
    spelling = _find_spelling(tuple(record))
    fields = {name: _unwrap_value(record[spelled]) for name, spelled in spelling.items()}
    for name in LIST_COLUMNS:
        if _is_message_list(fields.get(name)):
            return (spelling[name],)
    if isinstance(fields.get("input"), list) and isinstance(fields.get(PREFERRED_COLUMN), list):
        return (spelling["input"], spelling[PREFERRED_COLUMN])
    if isinstance(fields.get("chosen"), list) and _is_message_list(fields["chosen"]):
        has_prompt = isinstance(fields.get("prompt"), list)
        return (spelling["prompt"], spelling["chosen"]) if has_prompt else (spelling["chosen"],)
    if isinstance(fields.get("prompt"), list) and isinstance(fields.get("completion"), list):
        return (spelling["prompt"], spelling["completion"])
    prompt = next((name for name in PROMPT_COLUMNS if isinstance(fields.get(name), str)), None)
    answer = next((name for name in ANSWER_COLUMNS if _is_answer(fields.get(name))), None)
    if prompt and answer:
        return (spelling[prompt], spelling[answer])
    for user, assistant in PAIRED_COLUMNS:
        if isinstance(fields.get(user), str) and _is_answer(fields.get(assistant)):
            return (spelling[user], spelling[assistant])
    if isinstance(chosen := fields.get("chosen"), str) and TRANSCRIPT_ROLE.match(chosen):
        return (spelling["chosen"],)
    return next(((name,) for name, value in record.items() if has_messages(value)), ())


@lru_cache(1024)  # the rows of a table have the same columns
def _find_spelling(names: tuple[str, ...]) -> dict[str, str]:
    """Return the columns of conversations among the names: as they are known → as they are spelled."""
    known = {name.strip().lower(): name for name in names if isinstance(name, str)}
    return {name: spelled for name, spelled in known.items() if name in CONVERSATION_COLUMNS}


def render_conversation(turns: Sequence[Message]) -> str:
    """Return a conversation as text, for people and for finding copies."""
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)


def find_unread_reasoning(record: Mapping[str, Any]) -> str:
    """Return the key under which a message of the row has its reasoning, which is not read; "" if none has."""
    messages = (entry for value in record.values() if isinstance(value, list) for entry in value)
    keys = (key for entry in messages if isinstance(entry, Mapping) for key in REASONING_KEYS if entry.get(key))
    return next(keys, "")


def _is_answer(value: Any) -> bool:
    """Return whether a value can answer a prompt: a text, a number as in tables of calculations, or several of them."""
    if isinstance(value, list):
        return bool(value) and all(map(_is_single_answer, value))
    return _is_single_answer(value)


def _is_single_answer(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value == value


def _is_message_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("["))


def has_messages(value: Any) -> bool:
    """Return whether a value is a list that begins with a message: an object with a known role, and a content."""
    if not isinstance(value, list) or not value or not isinstance(value[0], Mapping):
        return False
    role = next((value[0][key] for key in ROLE_KEYS if key in value[0]), None)
    is_role = isinstance(role, str) and role.strip().lower() in ROLE_ALIASES
    return is_role and any(key in value[0] for key in CONTENT_KEYS)


def _unwrap_value(value: Any) -> Any:
    """Return the messages or the texts inside a value, as in OpenAI's pairs and in SQuAD; any other value as it is."""
    if isinstance(value, Mapping):
        inner = value.get("messages", value.get("text"))
        return inner if isinstance(inner, list) else value
    return value


def _read_system_content(fields: Mapping[str, Any]) -> str:
    """Return the text of Gemini's system instruction; "" if there is none."""
    content = next((fields[name] for name in SYSTEM_CONTENT_COLUMNS if isinstance(fields.get(name), Mapping)), {})
    parts = content.get("parts")
    return "".join(_parse_part(part, 1) for part in parts) if isinstance(parts, list) else ""


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
    name = next((entry[key] for key in ROLE_KEYS if key in entry), None)
    contents = [entry[key] for key in CONTENT_KEYS if entry.get(key) is not None]
    content = next((each for each in contents if isinstance(each, str) and each), next(iter(contents), None))
    role = name.strip().lower() if isinstance(name, str) else ""
    if role not in ROLE_ALIASES:
        raise GenloomError("collect.message_role", number=number, role=name)
    if _is_single_answer(content):
        content = str(content)
    if isinstance(content, list):  # OpenAI's parts
        content = "".join(_parse_part(part, number) for part in content)
    if not isinstance(content, str):
        raise GenloomError("collect.message_without_text", number=number)
    if entry.get("attachments") or entry.get("files"):  # of Claude
        raise GenloomError("collect.message_not_text", number=number)
    is_left_out = entry.get("weight") == 0 or entry.get("train") is False  # as OpenAI and axolotl mark an answer
    return Message(ROLE_ALIASES[role], content, is_learned=not is_left_out)


def _split_pair(entry: Any) -> list[Any]:
    """Return a question with its answer in one entry as two messages; any other entry as it is."""
    if isinstance(entry, Mapping) and entry.keys().isdisjoint(ROLE_KEYS):
        for user, assistant in PAIRED_COLUMNS:
            if user in entry and assistant in entry:
                return [{"role": "user", "content": entry[user]}, {"role": "assistant", "content": entry[assistant]}]
    return [entry]


def _parse_history(history: Any) -> list[Message]:
    """Return the turns before a prompt, as pairs of a question and its answer; none if there is no such list."""
    pairs = history if isinstance(history, list) else []
    if not all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(e, str) for e in pair) for pair in pairs):
        raise GenloomError("collect.bad_history")
    return [Message(role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)]


def _parse_transcript(text: str) -> list[Message]:
    """Return the turns of "Human: … Assistant: …"."""
    _, *parts = TRANSCRIPT_ROLE.split(text)
    return [
        Message(ROLE_ALIASES[role.lower()], content.strip())
        for role, content in zip(parts[::2], parts[1::2], strict=True)
    ]


def _parse_part(part: Any, number: int) -> str:
    if isinstance(part, Mapping) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return part["text"]  # Gemini's parts have no type
    raise GenloomError("collect.message_not_text", number=number)


def _first_string(record: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((record[name] for name in names if isinstance(record.get(name), str)), None)


def _check_turns(turns: Sequence[Message]) -> None:
    for number, turn in enumerate(turns, 1):
        if not turn.content.strip():
            raise GenloomError("collect.message_empty", number=number, role=turn.role)
        if turn.role == "system" and number > 1:
            raise GenloomError("collect.late_system_message", number=number)
    if not any(turn.role == "assistant" and turn.is_learned for turn in turns):
        raise GenloomError("collect.no_assistant_message")
