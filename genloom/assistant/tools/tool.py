"""A tool: a name, a description and a JSON schema of arguments, and the function that runs it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from genloom.errors import GenloomError
from genloom.text_format import remove_controls

MAX_TOOLS = 128
MAX_DESCRIPTION_CHARS = 2000
MAX_RESULT_CHARS = 4000  # that a model reads of one result
MAX_ARGUMENTS_CHARS = 20_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")

NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True)
class Tool:
    """A function that a model may ask for. The description is data of whoever wrote the tool, never an instruction."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: NO_PARAMETERS)  # JSON schema of an object
    run: Callable[[Mapping[str, Any]], Any] | None = None  # None: somebody else runs it
    origin: str = "built in"  # as the person is shown it: "built in", "function", or a server

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise GenloomError("tools.bad_name", name=self.name[:100])
        if not isinstance(self.parameters, Mapping):
            raise GenloomError("tools.bad_parameters", name=self.name)


@dataclass(frozen=True)
class ToolCall:
    """A call that a model wrote."""

    name: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in self.arguments.items())
        return remove_controls(f"{self.name}({shown})").replace("\n", " ")


@dataclass(frozen=True)
class ToolResult:
    """The answer of a tool as text; `is_error`: it failed, was refused, or took too long."""

    text: str
    is_error: bool = False
    is_cut: bool = False  # the end of a long result is missing
    is_trusted: bool = True  # no text of others is in it


def to_tool_name(text: str) -> str:
    """Return a name for a tool, from any text of a server."""
    return _NOT_IN_NAMES.sub("_", text).strip("_")[:64] or "tool"


def bound_description(text: str) -> str:
    """Return a description of bounded length without control characters, as one paragraph."""
    clean = " ".join(remove_controls(text).split())
    return clean if len(clean) <= MAX_DESCRIPTION_CHARS else clean[: MAX_DESCRIPTION_CHARS - 1] + "…"


def build_result(value: Any, is_error: bool = False) -> ToolResult:
    """Return the value of a tool as bounded text: a str as it is, other values as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    is_cut = len(text) > MAX_RESULT_CHARS
    return ToolResult(f"{text[:MAX_RESULT_CHARS]} … (cut)" if is_cut else text, is_error, is_cut)


def check_tools(tools: "list[Tool]") -> None:
    """Raise GenloomError for too many tools, or two of one name."""
    if len(tools) > MAX_TOOLS:
        raise GenloomError("tools.too_many", count=len(tools), maximum=MAX_TOOLS)
    names = [tool.name for tool in tools]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise GenloomError("tools.name_twice", name=twice[0])
