"""Formats that people ask of a text: a JSON schema, a regular expression, choices or a Lark grammar; as grammars."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genloom.errors import GenloomError
from genloom.generate.grammar import MAX_SCHEMA_CHARS, build_json_grammar, check_grammar, import_llguidance
from genloom.generate.shortest_text import EndlessError, count_fewest_tokens, find_shortest_json, find_shortest_match

if TYPE_CHECKING:
    from genloom.generate.engine import Request
    from genloom.model import Model

MAX_CHOICES = 10_000
_PLACE = re.compile(r"line \d+, column \d+: ")
_KEYS = re.compile(r'"([^"]+)"')
_COMBINED = frozenset({"allOf", "patternProperties", "additionalProperties", "unevaluatedProperties"})


@dataclass(frozen=True)
class OutputFormat:
    """The format of a text as a grammar, and the shortest texts of it as far as they are known."""

    kind: str  # schema, regex, choices or grammar
    grammar: str
    shortest_texts: tuple[str, ...] = ()


def build_output_format(
    schema: Mapping[str, Any] | bool | None = None, regex: str = "", choices: Sequence[str] = (), grammar: str = ""
) -> OutputFormat | None:
    """Return the one format that is given; None without any.

    Raises GenloomError for several formats, and for one that cannot be kept to in full: generate.unsupported_schema
    names the keyword and its place.
    """
    given = {"schema": schema is not None, "regex": bool(regex), "choices": bool(choices), "grammar": bool(grammar)}
    kinds = [kind for kind, is_given in given.items() if is_given]
    if len(kinds) > 1:
        raise GenloomError("generate.several_formats", kinds=" and ".join(kinds))
    if schema is not None:
        return build_schema_format(schema)
    if regex:
        return build_regex_format(regex)
    if choices:
        return build_choices_format(choices)
    return build_lark_format(grammar) if grammar else None


def build_schema_format(schema: Mapping[str, Any] | bool) -> OutputFormat:
    """Return the format of JSON values, whose objects have no properties that the schema does not name."""
    check_schema(schema)
    closed = close_objects(schema)
    try:
        shortest = find_shortest_json(closed)
    except EndlessError:
        reason = "each value needs another one inside itself, so that none ends"
        raise GenloomError("generate.unsupported_schema", reason=reason, place=find_reference(schema)) from None
    return OutputFormat("schema", build_json_grammar(closed), () if shortest is None else (shortest,))


def build_regex_format(regex: str) -> OutputFormat:
    """Return the format of a text that a regular expression matches as a whole."""
    if len(regex) > MAX_SCHEMA_CHARS:
        raise GenloomError("generate.grammar_too_long", size=len(regex), limit=MAX_SCHEMA_CHARS)
    # Only ASCII digits, as people mean them.
    grammar = write_lark(f"start: /{import_llguidance().regex_to_lark(regex, 'd')}/")
    check_kind("regex", grammar)
    shortest = find_shortest_match(regex)
    return OutputFormat("regex", grammar, () if shortest is None else (shortest,))


def build_choices_format(choices: Sequence[str]) -> OutputFormat:
    """Return the format of a text that is one of the choices."""
    unique = tuple(dict.fromkeys(choices))
    if not all(unique) or len(unique) > MAX_CHOICES:
        raise GenloomError("generate.bad_choices", count=len(unique), maximum=MAX_CHOICES)
    grammar = write_lark("start: " + " | ".join(json.dumps(each, ensure_ascii=False) for each in unique))
    check_kind("choices", grammar)
    return OutputFormat("choices", grammar, unique)


def build_lark_format(grammar: str) -> OutputFormat:
    written = write_lark(grammar)
    check_kind("grammar", written)
    return OutputFormat("grammar", written)


def write_lark(lark: str) -> str:
    """Return a grammar in Lark's syntax as the engine reads it."""
    return json.dumps({"grammars": [{"lark_grammar": lark}]}, ensure_ascii=False)


def check_kind(kind: str, grammar: str) -> None:
    """Raise GenloomError for a grammar with a fault, in the words of the kind that was asked for."""
    try:
        check_grammar(grammar)
    except GenloomError as error:
        if error.code != "generate.bad_grammar":
            raise
        reason = str(error.fields["reason"])
        reason = reason if kind == "grammar" else _PLACE.sub("", reason)  # it is a place in what was made of it
        raise GenloomError("generate.bad_format", kind=kind, reason=reason) from None


def check_schema(schema: Mapping[str, Any] | bool) -> None:
    """Raise GenloomError for a schema that cannot be kept to in full; it names the keyword and its place."""
    if not isinstance(schema, Mapping | bool):
        raise GenloomError("generate.schema_no_object", kind=name_json_type(schema))
    if schema is False:
        raise GenloomError("generate.unsupported_schema", reason="no value fits it", place="the schema")
    if (unsupported := find_unsupported(schema)) is not None:
        place, reason = unsupported
        raise GenloomError("generate.unsupported_schema", reason=reason, place=place)
    try:
        size = len(json.dumps(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise GenloomError("generate.unsupported_schema", reason=str(error)[:200], place="the schema") from None
    if size > MAX_SCHEMA_CHARS:
        raise GenloomError("generate.grammar_too_long", size=size, limit=MAX_SCHEMA_CHARS)
    try:
        check_grammar(build_json_grammar(schema))
    except GenloomError as error:
        if error.code != "generate.bad_grammar":
            raise
        reason = str(error.fields["reason"])
        place = find_place(schema, reason) or "the schema"
        raise GenloomError("generate.unsupported_schema", reason=reason, place=place) from None


def name_json_type(value: Any) -> str:
    """Return what JSON calls the type of a value."""
    names = {list: "array", tuple: "array", str: "string", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def find_unsupported(schema: Any, place: tuple[str, ...] = (), depth: int = 0) -> tuple[str, str] | None:
    """Return the place of a keyword that the grammar would not keep to, and why; None if there is none."""
    if depth > 100:
        return ".".join(place[:8]) or "the schema", "it is nested too deeply"
    if isinstance(schema, list):
        pairs = [(str(number), each) for number, each in enumerate(schema)]
    elif isinstance(schema, Mapping):
        pairs = [(str(name), each) for name, each in schema.items() if name not in _ANNOTATIONS]
    else:
        return None
    if isinstance(schema, Mapping) and (reason := find_uncounted(schema)):
        return ".".join((*place, "minProperties")), reason
    for name, value in pairs:
        if (found := find_unsupported(value, (*place, name), depth + 1)) is not None:
            return found
    return None


def find_uncounted(schema: Mapping[str, Any]) -> str:
    """Return why the number of properties cannot be kept to; "" if it can.

    The grammar does not see that a property which the schema does not name comes twice, and JSON counts it once.
    """
    least, properties, required = (schema.get(name) for name in ("minProperties", "properties", "required"))
    names = set(properties) if isinstance(properties, Mapping) else set()
    names |= {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    is_counted = isinstance(least, int | float) and least > len(names) + 1
    return f"{least} properties cannot be counted where the schema names {len(names)}" if is_counted else ""


# Values that are no schemas, whatever they look like.
_ANNOTATIONS = frozenset({"const", "enum", "default", "examples", "title", "description", "$comment"})


def find_place(schema: Any, reason: str) -> str:
    """Return where a schema has a keyword that a reason quotes, e.g. "properties.age.not"; "" if that is not known."""
    places = (find_key(schema, key) for key in _KEYS.findall(reason))
    return next((place for place in places if place is not None), "")


def find_reference(schema: Any) -> str:
    """Return where a schema refers to a part of itself."""
    return find_key(schema, "$ref") or "the schema"


def find_key(schema: Any, key: str, place: tuple[str, ...] = ()) -> str | None:
    """Return where a schema has a keyword, e.g. "properties.age.not"."""
    pairs = schema.items() if isinstance(schema, Mapping) else enumerate(schema) if isinstance(schema, list) else ()
    for name, value in pairs:
        if name == key:
            return ".".join((*place, key))
        if (found := find_key(value, key, (*place, str(name)))) is not None:
            return found
    return None


def close_objects(schema: Any) -> Any:
    """Return a schema whose objects have no other properties than those it names, unless it says that they may.

    Every value that it allows is one of the schema given. A small model would otherwise invent properties without end.
    """
    if isinstance(schema, list):
        return [close_objects(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {name: close_members(name, value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), Mapping) and not _COMBINED & schema.keys():
        closed["additionalProperties"] = False
    return closed


def close_members(name: str, value: Any) -> Any:
    if name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
        return {each: close_objects(schema) for each, schema in value.items()}
    return close_objects(value) if name in ("items", "prefixItems", "anyOf", "oneOf") else value


def add_format(request: "Request", model: "Model", output_format: OutputFormat) -> "Request":
    """Return the request for texts in a format.

    Raises GenloomError for stop strings beside it, and for a limit of tokens that no text of the format fits in.
    """
    from genloom.generate import engine  # with torch, which the server does without

    if not engine.can_stream_text(model):
        raise GenloomError("generate.no_grammar_support", model=model.ref)
    if request.stop:
        raise GenloomError("generate.format_with_stop", kind=output_format.kind)
    num_needed = count_fewest_tokens(model.codec, output_format.shortest_texts)
    max_tokens = int(request.params.get("max_tokens") or engine.get_default_max_tokens(model))
    if max_tokens < num_needed:
        raise GenloomError(
            "generate.format_needs_tokens", kind=output_format.kind, num_needed=num_needed, max_tokens=max_tokens
        )
    return replace(request, grammar=output_format.grammar, stop_loops=False)
