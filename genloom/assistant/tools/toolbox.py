"""The tools of one conversation, and the rules under which a model's calls are run.

Nothing runs without the person's consent: each call is shown with its arguments and confirmed, unless the tool was
allowed by name. While a message of others is in the turn, such as a passage of a document or the result of a server,
no standing permission counts, and a call that such a message spells is refused.
"""

import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from genloom.assistant.tools.call_formats import (
    GENERIC,
    MAX_CALLS,
    CallFormat,
    ParsedAnswer,
    add_tools,
    build_call_grammar,
    parse_answer,
)
from genloom.assistant.tools.tool import NO_PARAMETERS, Tool, ToolCall, ToolResult, build_result, check_tools
from genloom.codecs.chat_template import ChatTemplate
from genloom.errors import GenloomError, format_message
from genloom.generate.output_format import check_schema
from genloom.types import Message

MAX_ROUNDS = 8  # answers with calls before one in words is asked for
MAX_TURN_CALLS = 16
CALL_SECONDS = 30.0
TRUSTED_ORIGINS = ("built in", "function")  # whose results hold nothing of others


class CallDecision(StrEnum):
    YES = "yes"
    NO = "no"
    ALWAYS = "always"  # for this tool, in this conversation


class ToolObserver(Protocol):
    """The watcher of the calls of a conversation, who decides about them."""

    def confirm(self, tool: Tool, call: ToolCall) -> CallDecision:
        """Ask the person about a call, which is shown with its arguments."""
        ...

    def show_call(self, tool: Tool, call: ToolCall) -> None:
        """Show a call that runs by an earlier permission."""
        ...

    def show_result(self, call: ToolCall, result: ToolResult) -> None: ...


class SilentObserver:
    """Nobody watches: every call that was not allowed before is refused."""

    def confirm(self, tool: Tool, call: ToolCall) -> CallDecision:
        return CallDecision.NO

    def show_call(self, tool: Tool, call: ToolCall) -> None: ...

    def show_result(self, call: ToolCall, result: ToolResult) -> None: ...


@dataclass
class Toolbox:
    """The tools that a model may ask for in a conversation."""

    tools: list[Tool]
    allowed: set[str] = field(default_factory=set)  # names of tools that run without a question
    observer: ToolObserver = field(default_factory=SilentObserver)
    call_format: CallFormat = GENERIC
    call_seconds: float = CALL_SECONDS
    notes: list[str] = field(default_factory=list)  # what the person should know of the tools
    num_calls: int = 0  # in this turn

    def __post_init__(self) -> None:
        check_tools(self.tools)
        if unknown := sorted(self.allowed - {tool.name for tool in self.tools}):
            known = ", ".join(tool.name for tool in self.tools) or "none"
            raise GenloomError("tools.unknown_tool", name=unknown[0], known=known)
        for number, tool in enumerate(self.tools):
            self.tools[number] = self._loosen_schema(tool)

    def adopt_format(self, call_format: CallFormat, model: str) -> None:
        """Take the form in which a model calls tools; note it if the model's family has none of its own."""
        self.call_format = call_format
        note = format_message("tools.untrained_model", model=model)
        if call_format is GENERIC and note not in self.notes:
            self.notes.append(note)

    @property
    def names(self) -> list[str]:
        return [tool.name for tool in self.tools]

    def begin_turn(self) -> None:
        """Count the calls of a new question from 0."""
        self.num_calls = 0

    def describe(self, template: ChatTemplate, messages: Sequence[Message]) -> list[Message]:
        """Return the messages that the model reads: with the tools, and with results in the words of its format."""
        return add_tools(
            self.call_format, template, self.write_results(messages), self.call_format.describe(self.tools, False)
        )

    def write_results(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages with the result of each call in the words of the format."""
        written, pending = list[Message](), list[str]()
        for message in messages:
            if message.role == "assistant":
                pending = [call.name for call in self.parse(message.content).calls]
            if message.role == "tool":
                name = pending.pop(0) if pending else ""
                text = self.call_format.write_result(name, message.content)
                message = Message("tool", text, is_trusted=message.is_trusted)
            written.append(message)
        return written

    def build_grammar(self) -> str:
        """Return the grammar of an answer, in words or with calls."""
        return build_call_grammar(
            self.call_format, self.tools, max_calls=MAX_CALLS if self.call_format.is_inline else 1
        )

    def parse(self, text: str) -> ParsedAnswer:
        return parse_answer(self.call_format, text, self.names)

    def run(self, call: ToolCall, turn: Sequence[Message], messages: Sequence[Message] = ()) -> ToolResult:
        """Run a call if the person allows it. A refusal is a result, too.

        `turn` are the messages since the last question, `messages` those of the whole conversation.
        """
        tool = next(tool for tool in self.tools if tool.name == call.name)
        self.num_calls += 1
        result = self._refuse(tool, call, turn, messages)
        if result is None:
            result = run_bounded(tool, call, self.call_seconds)
            result = replace(result, is_trusted=tool.origin in TRUSTED_ORIGINS)
        self.observer.show_result(call, result)
        return result

    def _refuse(
        self, tool: Tool, call: ToolCall, turn: Sequence[Message], messages: Sequence[Message]
    ) -> ToolResult | None:
        """Return the result of a call that does not run; None if it may."""
        if self.num_calls > MAX_TURN_CALLS:
            return ToolResult(format_message("tools.too_many_calls", limit=MAX_TURN_CALLS), is_error=True)
        if is_spelled(call, [message.content for message in (*turn, *messages) if not message.is_trusted]):
            return ToolResult(format_message("tools.call_from_document", name=tool.name), is_error=True)
        if tool.name in self.allowed and all(message.is_trusted for message in turn):
            self.observer.show_call(tool, call)
            return None
        decision = self.observer.confirm(tool, call)
        if decision is CallDecision.NO:
            return ToolResult(format_message("tools.refused", name=tool.name), is_error=True)
        if decision is CallDecision.ALWAYS:
            self.allowed.add(tool.name)
        return None

    def _loosen_schema(self, tool: Tool) -> Tool:
        """Return a tool whose arguments a grammar can keep to: those of a server may use other keywords."""
        try:
            check_schema({"type": "object", **tool.parameters})
        except GenloomError as error:
            if error.code == "generate.grammar_package_missing" or tool.origin in TRUSTED_ORIGINS:
                raise
            self.notes.append(format_message("tools.loose_schema", name=tool.name, reason=str(error)))
            properties = tool.parameters.get("properties")
            names = [name for name in properties if isinstance(name, str)] if isinstance(properties, Mapping) else []
            plain = {"type": "object", "properties": {name: {} for name in names[:100]}} if names else NO_PARAMETERS
            return Tool(tool.name, tool.description, plain, tool.run, tool.origin)
        return tool


def is_spelled(call: ToolCall, texts: Collection[str]) -> bool:
    """Return whether a text of others holds the call: its name, and all of its arguments that are long enough."""
    values = [value for value in _list_texts(call.arguments) if len(value) >= 4]
    for text in texts:
        collapsed = " ".join(text.split())
        has_values = bool(values) and all(value in collapsed for value in values)
        has_call = json.dumps(dict(call.arguments), ensure_ascii=False) in collapsed and bool(call.arguments)
        if call.name in collapsed and (has_values or has_call or not call.arguments):
            return True
    return False


def _list_texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _list_texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _list_texts(each)]
    return [" ".join(str(value).split())]


def run_bounded(tool: Tool, call: ToolCall, seconds: float) -> ToolResult:
    """Run a tool for at most so many seconds, in a thread of its own; an error of it is a result.

    A Python function that does not end keeps its thread, which nothing waits for; a server is ended by its client.
    """
    assert tool.run is not None, "a tool without a function is run by somebody else"
    found: list[ToolResult] = []

    def work(run: Callable[[Mapping[str, Any]], Any] = tool.run) -> None:
        try:
            value = run(call.arguments)
            found.append(value if isinstance(value, ToolResult) else build_result(value))
        except Exception as error:  # the border to functions of others
            text = str(error) if isinstance(error, GenloomError) else f"{type(error).__name__}: {error}"
            found.append(build_result(text[:500], is_error=True))

    thread = threading.Thread(target=work, name=f"tool {tool.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        return ToolResult(format_message("tools.too_slow", name=tool.name, seconds=f"{seconds:g}"), is_error=True)
    return found[0]
