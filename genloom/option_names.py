"""The options that texts name, as their reader gives them: --minutes 3, in Python minutes=3, over HTTP "minutes": 3.

A text is written for the command line. Commands in it stay as they are, since a shell is where they are typed.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

Caller = Literal["command", "python", "http"]

_caller: Caller = "python"  # of this process
# Of the command line and the programs that it starts, which other callers cannot give.
_COMMAND_AREAS = frozenset(("cli", "server", "studio"))
_PYTHON_NAMES = {
    "adapter": "adapters",
    "allow-tool": "allow",
    "assistant.var": "given",
    "chat": "is_chat",
    "code.fill": "target",
    "continue": "continue_",
    "count": "n",
    "down": "up",
    "from": "from_",
    "mcp": "servers",
    "media.out": "path",
    "no-update": "update",
    "samples": "num_samples",
    "set": "overrides",
    "tasks.from": "source",
    "workspace": "folder",
}
_HTTP_NAMES = _PYTHON_NAMES | {"from": "from"}
_COMMAND_OPTIONS = frozenset(("file", "play", "resolution", "tools"))  # which no other caller has
_SERVER_OPTIONS = frozenset(("workspace", "ledger"))  # of the command that starts the server
_VALUES_OF_FLAGS = {"down": False, "no-update": False} | dict.fromkeys(
    ("battery", "chat", "private", "refuse-copies", "resume", "up"), True
)
_TABLES = frozenset(("set", "given", "var"))  # options with NAME=VALUE, which others give as a table
_NUMBERS = frozenset("budget count epsilon max-tokens minutes steps strength temperature".split())  # noqa: SIM905
_WORDS = (
    "aspirin|dpo|embeddings|en|float32|fr|French|full|grpo|head|hf|gguf|kto|lora|model|none|policy|prefix|reinvent"
    "|short|structures|zero-shot"
)
_ASSIGNMENT = r"(?:[\w.]|\{\w+\})+=(?:'[^']*'|\{[^{}]*\}|[\w.]*[\w…])"
_VALUE = rf"""
      "[^"]*" | '[^']*'
    | {_ASSIGNMENT}
    | \{{[^{{}}]*\}}(?::(?:\d+|\{{[^{{}}]*\}}))?  # of a field
    | [A-Z]{{2,}}(?:[.:=-][A-Za-z]+)*  # of a placeholder
    | https?://[\w./]+
    | \d+(?:[.,:]\d+)*
    | [\w-]+(?:[.:][\w=-]+)+ | [a-z]+(?:,[a-z]+)+ | (?:{_WORDS})\b(?!-)
"""
_OPTION = re.compile(
    rf"""(?<![\w-])--(?P<name>[a-z][a-z-]*[a-z]|\{{\w+\}})
    (?:\ (?P<value>{_VALUE}))?
    (?P<more>(?:\ --set\ {_ASSIGNMENT})*)""",
    re.VERBOSE,
)
# Commands of this program and of others, and templates of them.
_COMMAND = re.compile(r"(?<![\w./-])(?:genloom|pip|hf|ray) (?:[a-z]|\{|…)[^;,()\"“]*(?:\"[^\"]*\"[^;,()\"“]*)*")
_ONLY_OPTIONS = re.compile(r"--[a-z-]+(?: [a-z]+)?(?:(?:, | and | or )--[a-z-]+(?: [a-z]+)?)*")
_OPTION_FIELDS = frozenset(("formats", "known", "option", "options"))
_REMOVAL = re.compile(r"\b(?:[Rr]emove|[Ww]ithout) $")


def set_caller(caller: Caller) -> None:
    """Set who reads the texts of this process; without, it is a program in Python."""
    global _caller
    _caller = caller


def get_caller() -> Caller:
    """Return who reads the texts of this process."""
    return _caller


def name_options(text: str, area: str = "", is_template: bool = False) -> str:
    """Return a text, written for the command line, with its options as the reader gives them.

    `area` is that of the text in genloom/messages. A template is one of `str.format`, whose fields stay.
    """
    if _caller == "command" or "--" not in text or area in _COMMAND_AREAS:
        return text
    parts, start = list[str](), 0
    for command in _COMMAND.finditer(text):
        parts += [_name_plain_options(text[start : command.start()], area, is_template), command[0]]
        start = command.end()
    return "".join([*parts, _name_plain_options(text[start:], area, is_template)])


def name_option_fields(fields: Mapping[str, Any], template: str, area: str) -> dict[str, Any]:
    """Return the values of a text with those that are options as the reader gives them.

    A value behind "--" in the template is the name of one.
    """
    if _caller == "command" or area in _COMMAND_AREAS:
        return dict(fields)
    named = {
        name: _find_parameter(str(value), area) if f"--{{{name}}}" in template else value
        for name, value in fields.items()
    }
    for name in _OPTION_FIELDS & named.keys():
        if isinstance(value := named[name], str) and _ONLY_OPTIONS.fullmatch(value):
            named[name] = name_options(value, area)
    return named


def _find_parameter(option: str, area: str) -> str:
    """Return the name of an option's parameter."""
    names = _HTTP_NAMES if _caller == "http" else _PYTHON_NAMES
    return names.get(f"{area}.{option}") or names.get(option) or option.replace("-", "_")


def _name_plain_options(text: str, area: str, is_template: bool) -> str:
    """Return a text without commands with its options as the reader gives them."""

    def name_option(found: re.Match[str]) -> str:
        option, value = found["name"], found["value"]
        if option in _COMMAND_OPTIONS or (_caller == "http" and option in _SERVER_OPTIONS):
            return found[0]
        name = option if option.startswith("{") else _find_parameter(option, area)
        if value is None and option in _VALUES_OF_FLAGS and not _REMOVAL.search(text[: found.start()]):
            literal = str(_VALUES_OF_FLAGS[option])
            named = _join_value(name, literal.lower() if _caller == "http" else literal)
        elif value is None:
            return f'"{name}"' if _caller == "http" else f"{name}="
        elif option in _TABLES and "=" in value:
            pairs = [pair.partition("=") for pair in (value, *found["more"].split(" --set ")[1:])]
            table = ", ".join(f'"{key}": {_quote_value(key, literal)}' for key, _, literal in pairs)
            named = _join_value(name, f"{{{{{table}}}}}" if is_template else f"{{{table}}}")
        else:
            named = _join_value(name, _quote_value(option, value))
        return f"{named}," if text.startswith(" --", found.end()) else named

    return _OPTION.sub(name_option, text)


def _join_value(name: str, literal: str) -> str:
    return f'"{name}": {literal}' if _caller == "http" else f"{name}={literal}"


def _quote_value(option: str, value: str) -> str:
    """Return the value of an option as a literal; placeholders as they are."""
    if value[0] == "'" and value[1:2] == "[":
        return value[1:-1]  # a list in a shell
    if value[0] in "'\"":
        return f'"{value[1:-1]}"'
    if re.fullmatch(r"[a-z]+(,[a-z]+)+", value):
        return "[" + ", ".join(f'"{each}"' for each in value.split(",")) + "]"
    is_number = re.fullmatch(r"\d+(\.\d+)?", value) or (value.startswith("{") and option in _NUMBERS)
    is_placeholder = value == "…" or re.fullmatch(r"[A-Z]+|\{\w+(![rs]|:[^{}]+)\}", value)
    return value if is_number or is_placeholder else f'"{value}"'
