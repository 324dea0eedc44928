"""Conversations as OpenAI's clients send them, as messages of a chat template: instructions, questions and answers."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from genloom.assistant.tools.call_formats import GENERIC, CallFormat
from genloom.assistant.tools.tool import ToolCall as Call
from genloom.server.errors import APIError
from genloom.server.openai.shapes import Name, Shape, Text
from genloom.types import Message

TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
MAX_PARTS, MAX_MESSAGES = 1000, 5000


class Part(Shape):
    """A part of a content; models here read only text."""

    type: Annotated[str, Field(max_length=100)]
    text: Text | None = None
    refusal: Text | None = None


class Function(Shape):
    name: Name
    arguments: Text | dict[str, Any] = ""


class ToolCall(Shape):
    id: Annotated[str, Field(max_length=200)] = ""
    type: Annotated[str, Field(max_length=100)] = "function"
    function: Function


Content = Text | Annotated[list[Part], Field(max_length=MAX_PARTS)] | None


class ChatMessage(Shape):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content = None
    name: Annotated[str, Field(max_length=200)] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=128)] | None = None
    tool_call_id: Annotated[str, Field(max_length=200)] | None = None


def read_content(content: Content, param: str) -> str:
    """Return the text of a content; APIError for a part that no model here reads, whatever it points to."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for number, part in enumerate(content):
        if part.type not in TEXT_PARTS:
            raise APIError(
                "server.unsupported_part",
                param=f"{param}.{number}",
                public_code="unsupported_parameter",
                kind=part.type,
            )
        texts.append(part.text or part.refusal or "")
    return "\n".join(texts)


def read_messages(
    messages: Sequence[ChatMessage], param: str = "messages", call_format: CallFormat = GENERIC
) -> list[Message]:
    """Return the messages in the roles that templates know, with calls and results in the words of a format.

    A tool's result is told by the user, unless the format has a role for it.
    """
    found: list[Message] = []
    names: dict[str, str] = {}
    for number, message in enumerate(messages):
        text = read_content(message.content, f"{param}.{number}.content")
        match message.role:
            case "system" | "developer":
                found.append(Message("system", text))
            case "assistant":
                calls = message.tool_calls or []
                names |= {call.id: call.function.name for call in calls}
                found.append(Message("assistant", "\n".join(filter(None, (text, write_calls(calls, call_format))))))
            case "tool" | "function":
                name = names.get(message.tool_call_id or "", message.name or "")
                role = "tool" if call_format.has_result_role else "user"
                found.append(Message(role, call_format.write_result(name, text)))
            case "user":
                found.append(Message("user", text))
    return join_turns(found)


def join_turns(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with neighbours of one role joined, as templates expect turns."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1].role == message.role:
            message = Message(message.role, f"{joined.pop().content}\n\n{message.content}")
        joined.append(message)
    return joined


def write_calls(calls: Sequence[ToolCall], call_format: CallFormat = GENERIC) -> str:
    """Return calls of an earlier answer in the words that the model is asked to use."""
    found = [Call(call.function.name, read_arguments(call.function)) for call in calls]
    return call_format.write_calls(found) if found else ""


def read_arguments(function: Function) -> Mapping[str, Any]:
    """Return the arguments of a call; those that are no JSON object, as clients may send, under one name."""
    if isinstance(function.arguments, dict):
        return function.arguments
    try:
        found = json.loads(function.arguments or "{}")
    except (ValueError, RecursionError):
        found = function.arguments
    return found if isinstance(found, dict) else {"arguments": found}
