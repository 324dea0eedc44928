"""Python functions as tools: the JSON schema comes from the signature, the description from the docstring."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from genloom.assistant.tools.tool import Tool, bound_description, to_tool_name
from genloom.errors import GenloomError

_GOOGLE_ARGS = re.compile(r"^Args:\n((?:[ \t]+.*\n?)+)", re.MULTILINE)
_GOOGLE_ENTRY = re.compile(r"^\s+(\w+)(?: \([^)]*\))?: (.+)$", re.MULTILINE)
_NUMPY_SECTION = re.compile(r"^Parameters\n-+\n(.*?)(?=\n\n\w+\n-+\n|\Z)", re.MULTILINE | re.DOTALL)
_NUMPY_ENTRY = re.compile(r"^(\w+)[^\n]*\n((?: {4}.*\n?)+)", re.MULTILINE)


def build_function_tool(function: Callable[..., Any], origin: str = "function") -> Tool:
    """Return the tool of a function with type hints.

    Raises GenloomError (tools.untyped_function) for a parameter without a type, or with one that JSON lacks.
    """
    name = getattr(function, "__name__", type(function).__name__)
    model = _build_model(function, name)
    schema = model.model_json_schema()
    schema.pop("title", None)
    doc = inspect.getdoc(function) or ""
    described = read_parameter_docs(doc)
    for parameter, table in schema.get("properties", {}).items():
        table.pop("title", None)
        if parameter in described:
            table.setdefault("description", described[parameter])

    def run(arguments: Mapping[str, Any]) -> Any:
        checked = model.model_validate(dict(arguments), strict=False)
        return function(**{each: getattr(checked, each) for each in type(checked).model_fields})

    summary = bound_description(doc.partition("\n\n")[0])
    return Tool(to_tool_name(name), summary, {"properties": {}, **schema, "additionalProperties": False}, run, origin)


def _build_model(function: Callable[..., Any], name: str) -> Any:
    """Return the pydantic model of a function's parameters."""
    import pydantic

    fields: dict[str, Any] = {}
    try:
        hints = get_type_hints(function, include_extras=True)
        for parameter in inspect.signature(function).parameters.values():
            is_variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY)
            if is_variable or parameter.name not in hints:
                raise GenloomError("tools.untyped_function", name=name, parameter=parameter.name)
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
        config = pydantic.ConfigDict(extra="forbid")
        model: Any = pydantic.create_model(f"{name}_arguments", __config__=config, **fields)
        model.model_json_schema()
    except (NameError, TypeError, pydantic.errors.PydanticUserError) as error:
        reason = str(error).splitlines()[0][:200]
        raise GenloomError("tools.function_without_schema", name=name, reason=reason) from None
    return model


def read_parameter_docs(doc: str) -> dict[str, str]:
    """Return the descriptions of parameters in a docstring in numpy's or Google's style, by name."""
    found: dict[str, str] = {}
    if section := _NUMPY_SECTION.search(doc):
        found |= {name: " ".join(text.split()) for name, text in _NUMPY_ENTRY.findall(section[1] + "\n")}
    if section := _GOOGLE_ARGS.search(doc):
        found |= {name: " ".join(text.split()) for name, text in _GOOGLE_ENTRY.findall(section[1])}
    return found
