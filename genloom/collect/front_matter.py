"""Front matter: the fields in YAML or TOML between two lines of `---` or `+++` at the beginning of a text."""

import re
import tomllib
from contextlib import suppress
from typing import Any

BLOCK_PATTERN = re.compile(
    r"\A\ufeff?(?P<fence>---|\+\+\+)[ \t]*\r?\n(?P<body>.*?)^((?P=fence)|\.\.\.)[ \t]*\r?$", re.MULTILINE | re.DOTALL
)
FIELD_PATTERN = re.compile(r"""["']?([\w@-]+)["']?[ \t]*:(?:[ \t]+(.*))?""")
OTHER_KINDS = ("- ", "{", "[", "&", "*", "!", "|", ">", "#", "%", "@", "`")  # a value that begins so is no plain text


def parse_front_matter(text: str) -> dict[str, Any]:
    """Return the fields of a text's front matter: texts, lists and mappings of texts; {} without front matter.

    Of YAML only these are read, line by line: a file from outside can make any parser of all of it take for ever.
    """
    match = BLOCK_PATTERN.match(text)
    if match is None:
        return {}
    if match["fence"] == "---":
        return _parse_yaml(match["body"])
    with suppress(tomllib.TOMLDecodeError, RecursionError):
        return tomllib.loads(match["body"].replace("\r\n", "\n"))
    return {}


def _parse_yaml(body: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    name = ""
    for line in body.splitlines():
        if line.startswith((" ", "\t", "- ")):
            if name:
                fields[name] = _add_value(fields[name], line.strip())
        elif field := FIELD_PATTERN.fullmatch(line.rstrip()):
            name = field[1]
            fields[name] = _parse_value(field[2] or "")
    return fields


def _parse_value(value: str) -> str | list[str]:
    value = value.strip()
    if value.startswith("[") and value.endswith("]"):
        return list(filter(None, map(_parse_scalar, value[1:-1].split(","))))
    return _parse_scalar(value)


def _parse_scalar(value: str) -> str:
    value = value.strip()
    if value.startswith(("'", '"')):
        return value[1:].partition(value[0])[0]
    text = value.partition(" #")[0].rstrip()
    return "" if text.startswith(OTHER_KINDS) or text in ("~", "null") else text


def _add_value(value: Any, line: str) -> Any:
    """Return the value of a field with that of an indented line: an item of a list, or an entry of a mapping."""
    is_item = line.startswith("- ")
    text = line.removeprefix("- ").strip()
    field = FIELD_PATTERN.fullmatch(text)
    new_value: Any = {field[1]: _parse_scalar(field[2] or "")} if field else _parse_scalar(text)
    if is_item:
        return [*value, new_value] if isinstance(value, list) else [new_value]
    if isinstance(value, list) and value and isinstance(value[-1], dict) and field:
        return [*value[:-1], value[-1] | new_value]
    if isinstance(value, dict) and field:
        return value | new_value
    return value or new_value
