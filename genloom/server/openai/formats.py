"""Formats of an answer: JSON by a schema, or calls of functions; as grammars that the engine keeps to."""

import json
import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from genloom import plugins
from genloom.api.workspace import Workspace
from genloom.assistant.tools.call_formats import (
    GENERIC,
    MAX_CALLS,
    CallFormat,
    build_call_grammar,
    find_call_format,
    get_visible_part,
    parse_answer,
)
from genloom.assistant.tools.tool import NO_PARAMETERS
from genloom.assistant.tools.tool import Tool as CallableTool
from genloom.capabilities import ChatCodec
from genloom.errors import GenloomError
from genloom.generate import output_format
from genloom.generate.grammar import build_json_grammar, check_grammar
from genloom.old_names import upgrade_job
from genloom.server.errors import APIError, annotate_error
from genloom.server.openai.shapes import Name, Shape, Text

LOGGER = logging.getLogger("genloom.server")

MAX_TOOLS = 128


class JsonSchema(Shape):
    name: Annotated[str, Field(max_length=200)] = ""
    description: Text | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(Shape):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class FunctionDefinition(Shape):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Shape):
    type: Annotated[str, Field(max_length=100)]
    function: FunctionDefinition | None = None


class NamedFunction(Shape):
    name: Name


class AllowedTools(Shape):
    mode: Literal["auto", "required"]
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)]


class NamedToolChoice(Shape):
    type: Literal["function", "allowed_tools"]
    function: NamedFunction | None = None
    allowed_tools: AllowedTools | None = None


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice


@dataclass(frozen=True)
class AnswerFormat:
    """The grammar of an answer, what the model is told about it, and whether it may call functions."""

    grammar: str = ""
    instructions: str = ""
    functions: tuple[FunctionDefinition, ...] = ()  # that it may call
    is_named: bool = False  # whether the client chose the function, so that the answer ends with "stop"
    call_format: CallFormat = GENERIC  # of the model's family

    def get_visible_part(self, text: str) -> str:
        """Return the beginning of an unfinished answer that is no part of a call, whose parts are sent together."""
        return get_visible_part(self.call_format, text) if self.functions else text


@dataclass(frozen=True)
class FoundCall:
    name: str
    arguments: str


def read_schema(response_format: ResponseFormat | None, param: str = "response_format") -> Mapping[str, Any] | None:
    """Return the schema of the JSON to answer with; None for words."""
    if response_format is None or response_format.type == "text":
        return None
    if response_format.type == "json_object":
        return {"type": "object"}
    schema = response_format.json_schema.schema_ if response_format.json_schema else None
    if schema is None:
        raise APIError("server.schema_missing", param=f"{param}.json_schema.schema")
    return schema


def build_format(
    schema: Mapping[str, Any] | None,
    tools: Sequence[Tool] | None,
    choice: ToolChoice | None,
    is_parallel: bool,
    schema_param: str = "response_format.json_schema.schema",
    call_format: CallFormat = GENERIC,
) -> AnswerFormat:
    """Return the format of an answer; APIError 400 for a schema that cannot be kept to in full.

    Small models would call functions without end, so that only a client that asks for several calls gets them.
    """
    functions = list_functions(tools)
    mode, is_named = "auto" if choice is None else choice, False
    if isinstance(mode, NamedToolChoice):
        if mode.allowed_tools is not None:
            names = {tool.function.name for tool in mode.allowed_tools.tools if tool.function}
            mode, allowed = mode.allowed_tools.mode, names
        else:
            mode, allowed, is_named = "required", {mode.function.name if mode.function else ""}, True
        functions = [each for each in functions if each.name in allowed]
        if not functions:
            raise APIError("server.unknown_function", param="tool_choice", name=", ".join(sorted(allowed))[:200])
    if mode == "required" and not functions:
        raise APIError("server.no_functions", param="tool_choice")
    if not functions or mode == "none":
        return build_schema_format(schema, schema_param)
    for number, function in enumerate(functions):
        check_schema(function.parameters or {}, f"tools.{number}.function.parameters")
    called = list_callable_tools(functions)
    instructions, is_required = call_format.describe(called, mode == "required"), mode == "required"
    if schema is not None and not is_required:
        check_schema(schema, schema_param)
        instructions += "\n" + describe_schema(schema)
    max_calls = 1 if is_named or not is_parallel else MAX_CALLS
    grammar = build_call_grammar(call_format, called, max_calls, is_required, None if is_required else schema)
    check_whole_grammar(grammar, "tools")
    return AnswerFormat(grammar, instructions, tuple(functions), is_named, call_format)


def build_schema_format(schema: Mapping[str, Any] | None, param: str) -> AnswerFormat:
    """Return the format of an answer in JSON, or of one in words."""
    if schema is None:
        return AnswerFormat()
    check_schema(schema, param)
    return AnswerFormat(build_json_grammar(output_format.close_objects(schema)), describe_schema(schema))


def list_functions(tools: Sequence[Tool] | None) -> list[FunctionDefinition]:
    """Return the functions among the tools; those that the service of OpenAI runs itself are left out, and logged."""
    functions = []
    for tool in tools or ():
        if tool.type == "function" and tool.function is not None:
            functions.append(tool.function)
        else:
            LOGGER.info("a tool of the kind %r is not run here and was left out", tool.type[:50])
    return functions


def check_schema(schema: Mapping[str, Any], param: str) -> None:
    """Raise APIError 400 for a schema that cannot be kept to in full; it names the place."""
    try:
        output_format.check_schema(schema)
    except GenloomError as error:
        raise build_schema_error(error, param) from None


def check_whole_grammar(grammar: str, param: str) -> None:
    try:
        check_grammar(grammar)
    except GenloomError as error:
        raise build_schema_error(error, param) from None


def build_schema_error(error: GenloomError, param: str) -> APIError:
    place = str(error.fields.get("place", "the schema"))
    return annotate_error(error, param if place == "the schema" else f"{param}.{place}", "invalid_json_schema")


def describe_schema(schema: Mapping[str, Any]) -> str:
    if schema == {"type": "object"}:
        return "Answer with a JSON object only."
    return f"Answer only with JSON of this schema: {json.dumps(schema, ensure_ascii=False)}"


def list_callable_tools(functions: Sequence[FunctionDefinition]) -> list[CallableTool]:
    """Return the functions of a client, which runs them itself; raise APIError 400 for a name that no tool can have."""
    tools = []
    for number, each in enumerate(functions):
        try:
            tools.append(CallableTool(each.name, each.description or "", each.parameters or NO_PARAMETERS))
        except GenloomError as error:
            raise annotate_error(error, f"tools.{number}.function.name") from None
    return tools


def find_calls(answer_format: AnswerFormat, text: str) -> list[FoundCall]:
    """Return the calls that an answer consists of; none for an answer in words, or one that was cut."""
    if not answer_format.functions:
        return []
    names = [function.name for function in answer_format.functions]
    calls = parse_answer(answer_format.call_format, text, names).calls
    return [FoundCall(call.name, json.dumps(dict(call.arguments), ensure_ascii=False)) for call in calls]


def find_model_format(workspace: Workspace, name: str) -> CallFormat:
    """Return the form in which a model's family calls functions; the generic one for a model that is not known."""
    try:
        folder = workspace.model(name).folder
        return _load_call_format(folder.folder, folder.digest)
    except (ValueError, OSError, KeyError, TypeError):
        return GENERIC  # the engine says what is wrong with the model


@lru_cache(maxsize=32)
def _load_call_format(folder: Path, digest: str) -> CallFormat:
    job = upgrade_job(tomllib.loads((folder / "job.toml").read_text()))
    codec = plugins.find_part("codec", str(job["codec"]["name"])).Codec.load(folder / "codec")
    return find_call_format(codec) if isinstance(codec, ChatCodec) else GENERIC
