"""Formats of an answer: JSON by a schema, or calls of functions; as grammars that the engine keeps to."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from genloom.errors import GenloomError
from genloom.generate.grammar import build_json_grammar, check_grammar
from genloom.server.errors import APIError, annotate_error
from genloom.server.openai.shapes import Name, Shape, Text

LOGGER = logging.getLogger("genloom.server")

MAX_TOOLS, MAX_CALLS = 128, 8
_KEYS = re.compile(r'"([^"]+)"')


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
    call_schema = build_call_schema(functions, 1 if is_named or not is_parallel else MAX_CALLS)
    for number, function in enumerate(functions):
        check_schema(function.parameters or {}, f"tools.{number}.function.parameters")
    instructions = describe_functions(functions, is_required=mode == "required")
    if mode == "required":
        return AnswerFormat(build_json_grammar(call_schema), instructions, tuple(functions), is_named)
    words = r"words: /[^{\s](.|\n)*/"
    if schema is not None:
        check_schema(schema, schema_param)
        words = f"words: %json {json.dumps(compact_schema(close_objects(schema)))}"
        instructions += "\n" + describe_schema(schema)
    lark = f"start: words | call\n{words}\ncall: %json {json.dumps(compact_schema(call_schema))}\n"
    grammar = json.dumps({"grammars": [{"lark_grammar": lark}]})
    check_whole_grammar(grammar, "tools")
    return AnswerFormat(grammar, instructions, tuple(functions))


def build_schema_format(schema: Mapping[str, Any] | None, param: str) -> AnswerFormat:
    """Return the format of an answer in JSON, or of one in words."""
    if schema is None:
        return AnswerFormat()
    check_schema(schema, param)
    return AnswerFormat(build_json_grammar(close_objects(schema)), describe_schema(schema))


def list_functions(tools: Sequence[Tool] | None) -> list[FunctionDefinition]:
    """Return the functions among the tools; those that the service of OpenAI runs itself are left out, and logged."""
    functions = []
    for tool in tools or ():
        if tool.type == "function" and tool.function is not None:
            functions.append(tool.function)
        else:
            LOGGER.info("a tool of the kind %r is not run here and was left out", tool.type[:50])
    return functions


def compact_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with the order to write no blanks where none are needed."""
    return json.loads(build_json_grammar(schema))["grammars"][0]["json_schema"]


def build_call_schema(functions: Sequence[FunctionDefinition], max_calls: int) -> dict[str, Any]:
    """Return the schema of calls of these functions; references within their parameters keep their targets."""
    definitions, items = {}, []
    for number, function in enumerate(functions):
        key = f"f{number}"
        parameters = function.parameters or {"type": "object", "properties": {}, "additionalProperties": False}
        definitions[key] = move_references(close_objects({"type": "object", **parameters}), f"#/$defs/{key}")
        items.append(
            {
                "type": "object",
                "properties": {"name": {"const": function.name}, "arguments": {"$ref": f"#/$defs/{key}"}},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    return {
        "type": "object",
        "properties": {
            "tool_calls": {"type": "array", "minItems": 1, "maxItems": max_calls, "items": {"anyOf": items}}
        },
        "required": ["tool_calls"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def close_objects(schema: Any) -> Any:
    """Return a schema whose objects have no other properties than those it names, unless it says that they may.

    Every value that it allows is one of the schema given. A small model would otherwise invent properties without end.
    """
    if isinstance(schema, list):
        return [close_objects(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {name: close_members(name, value) for name, value in schema.items()}
    is_combined = {"allOf", "patternProperties", "additionalProperties", "unevaluatedProperties"} & schema.keys()
    if isinstance(schema.get("properties"), Mapping) and not is_combined:
        closed["additionalProperties"] = False
    return closed


def close_members(name: str, value: Any) -> Any:
    if name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
        return {each: close_objects(schema) for each, schema in value.items()}
    return close_objects(value) if name in ("items", "prefixItems", "anyOf", "oneOf") else value


def move_references(value: Any, root: str) -> Any:
    """Return a schema for a place in another, with its references to itself as references from there."""
    if isinstance(value, Mapping):
        moved = {name: move_references(each, root) for name, each in value.items() if name != "$schema"}
        if isinstance(reference := value.get("$ref"), str) and reference.startswith("#"):
            moved["$ref"] = root + reference[1:]
        return moved
    return [move_references(each, root) for each in value] if isinstance(value, list) else value


def check_schema(schema: Mapping[str, Any], param: str) -> None:
    """Raise APIError 400 for a schema that cannot be kept to in full; it names the place."""
    try:
        check_grammar(build_json_grammar(schema))
    except GenloomError as error:
        raise build_schema_error(error, schema, param) from None


def check_whole_grammar(grammar: str, param: str) -> None:
    try:
        check_grammar(grammar)
    except GenloomError as error:
        raise build_schema_error(error, {}, param) from None


def build_schema_error(error: GenloomError, schema: Mapping[str, Any], param: str) -> APIError:
    keys = _KEYS.findall(str(error.fields.get("reason", "")))
    place = next((place for key in keys if (place := find_key(schema, key)) is not None), "")
    full_param = f"{param}.{place}" if place else param
    return annotate_error(error, full_param, "invalid_json_schema")


def find_key(schema: Any, key: str, place: tuple[str, ...] = ()) -> str | None:
    """Return where a schema has a keyword, e.g. "properties.age.not"."""
    pairs = schema.items() if isinstance(schema, Mapping) else enumerate(schema) if isinstance(schema, list) else ()
    for name, value in pairs:
        if name == key:
            return ".".join((*place, key))
        if (found := find_key(value, key, (*place, str(name)))) is not None:
            return found
    return None


def describe_schema(schema: Mapping[str, Any]) -> str:
    if schema == {"type": "object"}:
        return "Answer with a JSON object only."
    return f"Answer only with JSON of this schema: {json.dumps(schema, ensure_ascii=False)}"


def describe_functions(functions: Sequence[FunctionDefinition], is_required: bool) -> str:
    """Return what a model is told about the functions: no template here has words of its own for them."""
    listed = "\n".join(
        json.dumps(
            {"name": each.name, "description": each.description or "", "parameters": each.parameters or {}},
            ensure_ascii=False,
        )
        for each in functions
    )
    form = '{"tool_calls": [{"name": "...", "arguments": {...}}]}'
    rule = "Answer only with" if is_required else "To call functions, answer only with"
    return f"You can call these functions:\n{listed}\n{rule} JSON of this form: {form}"


def find_calls(answer_format: AnswerFormat, text: str) -> list[FoundCall]:
    """Return the calls that an answer consists of; none for an answer in words, or one that was cut."""
    if not answer_format.functions or not text.startswith("{"):
        return []
    try:
        calls = json.loads(text)["tool_calls"]
        return [FoundCall(call["name"], json.dumps(call["arguments"], ensure_ascii=False)) for call in calls]
    except (ValueError, KeyError, TypeError):
        return []
