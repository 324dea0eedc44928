"""Calls of tools as models write them: for each family a description of tools, a grammar and a parser.

Results of tools are data: only what a model itself wrote is parsed, and never evaluated. A text is a call only if all
of it is one in the format's own form.

Sources: the chat templates of Qwen2.5 and Qwen3 (the form of Hermes 2 Pro), Llama 3.1 and Mistral 7B v0.3.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genloom.assistant.tools.call_blocks import is_block_start, read_block
from genloom.assistant.tools.tool import MAX_ARGUMENTS_CHARS, NO_PARAMETERS, Tool, ToolCall
from genloom.capabilities import ChatCodec, get_special_tokens
from genloom.codecs.chat_template import ChatTemplate, MessageSegments
from genloom.generate.grammar import build_json_grammar, quote_special
from genloom.generate.output_format import close_objects, write_lark
from genloom.types import Message

MAX_CALLS = 8  # of one answer
_WORDS = r"/[^{\[\s](.|\n)*/"
_BREAK = "\u200b"  # between the characters of a marker that data contain


@dataclass(frozen=True)
class CallFormat:
    """The form in which a family of models calls tools."""

    name: str
    describe: Callable[[Sequence[Tool], bool], str]  # tools, whether a call is required -> the system prompt's part
    build_lark: Callable[[str, int, bool, str], str]  # schema of a call, most calls, required?, rule of words -> Lark
    read_calls: Callable[[str], list[tuple[str, Any]] | None]  # an answer -> its calls; None: it is no call
    write_calls: Callable[[Sequence[ToolCall]], str]  # the answer that makes these calls
    write_result: Callable[[str, str], str]  # name, result -> the message that tells the result
    arguments_key: str = "arguments"
    opening: str = "{"  # that an answer with a call begins with, or has in it
    is_inline: bool = False  # whether words may come before a call
    markers: tuple[str, ...] = ()  # that data must not contain
    special: tuple[str, ...] = ()  # special tokens that its markers are
    has_result_role: bool = False  # whether results have a header or markers of their own


@dataclass(frozen=True)
class ParsedAnswer:
    """The words and the calls of an answer."""

    words: str
    calls: tuple[ToolCall, ...] = ()


def parse_answer(call_format: CallFormat, text: str, names: Sequence[str]) -> ParsedAnswer:
    """Return the calls of an answer of a model; an answer with a call that is cut, malformed or unknown has none."""
    found = call_format.read_calls(text)
    if not found or len(found) > MAX_CALLS or len(text) > MAX_ARGUMENTS_CHARS * MAX_CALLS:
        return ParsedAnswer(text)
    if not all(name in names and isinstance(arguments, dict) for name, arguments in found):
        return ParsedAnswer(text)
    before, marker, _ = text.partition(call_format.opening)
    words = before.strip() if call_format.is_inline and marker else ""
    return ParsedAnswer(words, tuple(ToolCall(name, arguments) for name, arguments in found))


def get_visible_part(call_format: CallFormat, text: str, is_final: bool = False) -> str:
    """Return the beginning of an answer that is no part of a call, for a person who watches it being written."""
    opening = call_format.opening
    if not call_format.is_inline:
        return "" if text.lstrip().startswith(opening) or not text.strip() else text
    before, found, _ = text.partition(opening)
    if found or is_final or is_block_start(text):
        return before if found or is_final else ""
    held = max((size for size in range(1, len(opening)) if before.endswith(opening[:size])), default=0)
    return before[: len(before) - held]


def build_call_grammar(
    call_format: CallFormat,
    tools: Sequence[Tool],
    max_calls: int = 1,
    is_required: bool = False,
    answer_schema: Mapping[str, Any] | None = None,
) -> str:
    """Return the grammar of an answer that may call tools, or must.

    An answer in words is JSON of `answer_schema`, if that is given.
    """
    call = json.dumps(compact_schema(build_call_schema(tools, call_format.arguments_key)), ensure_ascii=False)
    words = "" if answer_schema is None else f"%json {json.dumps(compact_schema(close_objects(answer_schema)))}"
    return write_lark(call_format.build_lark(call, max_calls, is_required, words))


def compact_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with the order to write no blanks where none are needed."""
    return json.loads(build_json_grammar(schema))["grammars"][0]["json_schema"]


def build_call_schema(tools: Sequence[Tool], arguments_key: str) -> dict[str, Any]:
    """Return the schema of one call of a tool; references within its parameters keep their targets."""
    definitions, items = {}, []
    for number, tool in enumerate(tools):
        key = f"f{number}"
        parameters = {"type": "object", **(tool.parameters or NO_PARAMETERS)}
        if not parameters.keys() - {"type", "title", "description", "$schema"}:
            parameters = {**NO_PARAMETERS}  # nothing is said of any
        definitions[key] = move_references(close_objects(parameters), f"#/$defs/{key}")
        items.append(
            {
                "type": "object",
                "properties": {"name": {"const": tool.name}, arguments_key: {"$ref": f"#/$defs/{key}"}},
                "required": ["name", arguments_key],
                "additionalProperties": False,
            }
        )
    return {"anyOf": items, "$defs": definitions}


def move_references(value: Any, root: str) -> Any:
    """Return a schema for a place in another, with its references to itself as references from there."""
    if isinstance(value, Mapping):
        moved = {name: move_references(each, root) for name, each in value.items() if name != "$schema"}
        if isinstance(reference := value.get("$ref"), str) and reference.startswith("#"):
            moved["$ref"] = root + reference[1:]
        return moved
    return [move_references(each, root) for each in value] if isinstance(value, list) else value


def neutralize_markers(text: str, markers: Sequence[str]) -> str:
    """Return data in which no marker of a format stands: an invisible blank breaks each."""
    for marker in markers:
        text = text.replace(marker, marker[0] + _BREAK + marker[1:])
    return text


# Parts that formats share


def to_signature(tool: Tool) -> dict[str, Any]:
    """Return a tool as the OpenAI format describes it, which the families learned."""
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def list_signatures(tools: Sequence[Tool], indent: int | None = None) -> str:
    return "\n".join(json.dumps(to_signature(tool), ensure_ascii=False, indent=indent) for tool in tools)


def read_objects(values: Any, arguments_key: str = "arguments") -> list[tuple[str, Any]] | None:
    """Return the name and arguments of each object in a list; None if one is anything but a call."""
    if not isinstance(values, list) or not values:
        return None
    for value in values:
        if not isinstance(value, dict) or not {"name", arguments_key} <= value.keys() <= {"name", arguments_key, "id"}:
            return None
    return [(value["name"], value[arguments_key]) for value in values]


def load_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def dump_call(call: ToolCall, arguments_key: str = "arguments") -> str:
    return json.dumps({"name": call.name, arguments_key: dict(call.arguments)}, ensure_ascii=False)


# For models that never saw tools: {"tool_calls": [{"name": …, "arguments": {…}}]}


def _describe_generic(tools: Sequence[Tool], is_required: bool) -> str:
    listed = "\n".join(
        json.dumps({"name": t.name, "description": t.description, "parameters": dict(t.parameters)}, ensure_ascii=False)
        for t in tools
    )
    form = '{"tool_calls": [{"name": "...", "arguments": {...}}]}'
    rule = "Answer only with" if is_required else "To call functions, answer only with"
    return f"You can call these functions:\n{listed}\n{rule} JSON of this form: {form}"


def _lark_generic(call: str, max_calls: int, is_required: bool, words: str) -> str:
    # All of it is one schema: a grammar that begins with text would not be told from an answer in JSON.
    item = json.loads(call)
    shared = {name: item.pop(name) for name in ("$defs", "x-guidance")}
    calls = {"type": "array", "items": item, "minItems": 1, "maxItems": max_calls}
    table = {"type": "object", "properties": {"tool_calls": calls}, "required": ["tool_calls"]}
    whole = json.dumps({**table, "additionalProperties": False, **shared}, ensure_ascii=False)
    start = "calls" if is_required else "words | calls"
    rule = "" if is_required else f"words: {words or _WORDS}\n"
    return f"start: {start}\n{rule}calls: %json {whole}\n"


def _read_generic(text: str) -> list[tuple[str, Any]] | None:
    table = load_json(text) if text.startswith("{") else None
    return read_objects(table["tool_calls"]) if isinstance(table, dict) and table.keys() == {"tool_calls"} else None


def _write_generic(calls: Sequence[ToolCall]) -> str:
    return f'{{"tool_calls": [{", ".join(map(dump_call, calls))}]}}'


GENERIC = CallFormat(
    "generic",
    _describe_generic,
    _lark_generic,
    _read_generic,
    _write_generic,
    lambda name, text: f"Result of {name or 'the function'}: {text}",
)

# Qwen2.5, Qwen3 and Hermes: <tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>

_HERMES_MARKERS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>")


def _describe_hermes(tools: Sequence[Tool], is_required: bool) -> str:
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        f"{neutralize_markers(list_signatures(tools), _HERMES_MARKERS)}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within <tool_call></tool_call> "
        'XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def _lark_hermes(call: str, max_calls: int, is_required: bool, words: str) -> str:
    more = f' ("\\n" tagged){{0,{max_calls - 1}}}' if max_calls > 1 else ""
    rules = f'tagged: "<tool_call>\\n" call "\\n</tool_call>"\ncall: %json {call}\n'
    if is_required:
        return f"start: tagged{more}\n{rules}"
    if words:
        return f"start: words | tagged{more}\nwords: {words}\n{rules}"
    opening = 'opening[lazy]: TEXT "<tool_call>"\nTEXT: /(.|\\n)*/\n'
    first = f'opening "\\n" call "\\n</tool_call>"{more}'
    return f"start: TEXT | {first}\n{opening}{rules}"


def _read_hermes(text: str) -> list[tuple[str, Any]] | None:
    _, found, rest = text.partition("<tool_call>")
    if not found:
        return read_objects([load_json(read_block(text))])
    bodies = [body.strip() for body in rest.split("<tool_call>")]
    if not all(body.endswith("</tool_call>") and body.count("</tool_call>") == 1 for body in bodies):
        return None
    return read_objects([load_json(body.removesuffix("</tool_call>")) for body in bodies])


def _write_hermes(calls: Sequence[ToolCall]) -> str:
    return "\n".join(f"<tool_call>\n{dump_call(call)}\n</tool_call>" for call in calls)


HERMES = CallFormat(
    "hermes",
    _describe_hermes,
    _lark_hermes,
    _read_hermes,
    _write_hermes,
    lambda name, text: f"<tool_response>\n{neutralize_markers(text, _HERMES_MARKERS)}\n</tool_response>",
    opening="<tool_call>",
    is_inline=True,
    markers=_HERMES_MARKERS,
)

# Llama 3.1 and later: {"name": …, "parameters": {…}}, one call; results have a header of their own


def _describe_llama(tools: Sequence[Tool], is_required: bool) -> str:
    return (
        "You have access to the following functions. To call a function, please respond with JSON for a function "
        'call. Respond in the format {"name": function name, "parameters": dictionary of argument name and its '
        f"value}}. Do not use variables.\n\n{list_signatures(tools, indent=4)}"
    )


def _lark_llama(call: str, max_calls: int, is_required: bool, words: str) -> str:
    start = "call" if is_required else "words | call"
    rule = "" if is_required else f"words: {words or _WORDS}\n"
    return f"start: {start}\n{rule}call: %json {call}\n"


def _read_llama(text: str) -> list[tuple[str, Any]] | None:
    return read_objects([load_json(text)], "parameters") if text.startswith("{") else None


LLAMA = CallFormat(
    "llama",
    _describe_llama,
    _lark_llama,
    _read_llama,
    lambda calls: "\n".join(dump_call(call, "parameters") for call in calls),
    lambda name, text: json.dumps(text, ensure_ascii=False),
    arguments_key="parameters",
    has_result_role=True,
)

# Mistral 7B v0.3 and later: [TOOL_CALLS] [{"name": …, "arguments": {…}}], where the markers are special tokens


def _describe_mistral(tools: Sequence[Tool], is_required: bool) -> str:
    return f"[{', '.join(json.dumps(to_signature(tool), ensure_ascii=False) for tool in tools)}]"


def _lark_mistral(call: str, max_calls: int, is_required: bool, words: str) -> str:
    more = f' (", " call){{0,{max_calls - 1}}}' if max_calls > 1 else ""
    start = "calls" if is_required else "words | calls"
    rule = "" if is_required else f"words: {words or _WORDS}\n"
    marker = quote_special("[TOOL_CALLS]")
    return f'start: {start}\n{rule}calls: {marker} " "? "[" call{more} "]"\ncall: %json {call}\n'


def _read_mistral(text: str) -> list[tuple[str, Any]] | None:
    body = text.strip().removeprefix("[TOOL_CALLS]").strip()
    return read_objects(load_json(body)) if body.startswith("[") else None


MISTRAL = CallFormat(
    "mistral",
    _describe_mistral,
    _lark_mistral,
    _read_mistral,
    lambda calls: f"[{', '.join(map(dump_call, calls))}]",
    lambda name, text: json.dumps({"content": text, "name": name}, ensure_ascii=False),
    opening="[",
    special=("[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
    has_result_role=True,
)

CALL_FORMATS: Mapping[str, CallFormat] = {each.name: each for each in (GENERIC, HERMES, LLAMA, MISTRAL)}


def find_call_format(codec: ChatCodec) -> CallFormat:
    """Return the format of a model's family, by its chat template and the tokens that its calls are made of."""
    template, special = codec.chat_template, get_special_tokens(codec)
    if template is None:
        return GENERIC
    user, system = template.prefixes.get("user", ""), template.prefixes.get("system", "")
    is_token = "<tool_call>" not in special and len(codec.encode("<tool_call>")) == 1
    if "<|im_start|>" in user and is_token:
        return HERMES
    if "<|start_header_id|>" in user and "Cutting Knowledge Date" in system:
        return LLAMA
    if "[INST]" in user and all(name in special for name in MISTRAL.special):
        return MISTRAL
    return GENERIC


# Messages of a conversation with tools


def add_tools(
    call_format: CallFormat, template: ChatTemplate, messages: Sequence[Message], description: str
) -> list[Message]:
    """Return the messages with the description of the tools where the family expects it.

    It follows the system prompt; for a template without one, it stands before the last question.
    """
    if call_format.special:
        return insert_tools(messages, description)
    if "system" not in template.prefixes:
        first = next((n for n, message in enumerate(messages) if message.role == "user"), len(messages))
        merged = [Message("user", f"{description}\n\n{message.content}") for message in messages[first : first + 1]]
        return [*messages[:first], *merged, *messages[first + 1 :]]
    system = messages[0].content if messages and messages[0].role == "system" else template.default_system
    rest = messages[1:] if messages and messages[0].role == "system" else messages
    return [Message("system", f"{system.strip()}\n\n{description}".strip()), *rest]


def insert_tools(messages: Sequence[Message], description: str) -> list[Message]:
    """Return the messages with the description of the tools before the last question, as Mistral reads it."""
    last = max((n for n, message in enumerate(messages) if message.role == "user"), default=len(messages))
    return [*messages[:last], Message("tools", description), *messages[last:]]


def render_tool_message(
    call_format: CallFormat, template: ChatTemplate, messages: Sequence[Message], index: int
) -> MessageSegments | None:
    """Return the segments of a message about tools, with the markers of the family; None for any other message."""
    message = messages[index]
    user = template.prefixes["user"], template.suffixes.get("user", "")
    if call_format is MISTRAL:
        return _render_mistral(template, message)
    if message.role != "tool":
        return None
    prefix = user[0].replace("user", "ipython") if call_format is LLAMA else user[0]
    return MessageSegments(prefix, ((message.content, False),), user[1])


def _render_mistral(template: ChatTemplate, message: Message) -> MessageSegments | None:
    match message.role:
        case "tools":
            return MessageSegments("[AVAILABLE_TOOLS]", ((f" {message.content}", False),), "[/AVAILABLE_TOOLS]")
        case "tool":
            return MessageSegments("[TOOL_RESULTS]", ((f" {message.content}", False),), "[/TOOL_RESULTS]")
        case "assistant" if _read_mistral(message.content):
            suffix = template.suffixes.get("assistant", "")
            return MessageSegments("[TOOL_CALLS]", ((f" {message.content.strip()}", False),), suffix)
    return None
