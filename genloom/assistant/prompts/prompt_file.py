"""Prompts as files: one TOML file each, which people read, edit and keep in version control."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from genloom.assistant.prompts.checks import AnswerChecks
from genloom.assistant.prompts.prompt import Example, FewShot, Prompt, PromptTest, Variable
from genloom.assistant.prompts.template import Value, find_control_character
from genloom.errors import GenloomError, format_message
from genloom.settings import check_keys, parse_settings, read_bounded_text, to_toml_value

MAX_FILE_BYTES = 1_000_000
SUFFIX = ".toml"
_CHECKS = tuple(f.name for f in fields(AnswerChecks))
_HEAD = ("description", "owner", "created", "note", "parent", "stop", "system", "prompt")


def read_prompt(path: Path, name: str = "", version: int = 0) -> Prompt:
    """Read a prompt from a file, bounded; its name is that of the file unless another is given.

    Raises
    ------
    GenloomError
        core.unreadable_file: it is missing, too large or not UTF-8; assistant.bad_prompt_file: what it says is wrong.
    """
    text = read_bounded_text(path, "this prompt", MAX_FILE_BYTES)
    try:
        return parse_prompt(text, name or path.stem, version)
    except GenloomError as error:
        raise GenloomError("assistant.bad_prompt_file", path=path, reason=str(error)) from None


def parse_prompt(text: str, name: str, version: int = 0) -> Prompt:
    """Return the prompt that a TOML text describes.

    Raises
    ------
    GenloomError
        assistant.control_character; assistant.bad_toml; core.unknown_setting and its like: a field is unknown or of
        the wrong type; and what `Prompt` raises.
    """
    if (control := find_control_character(text)) is not None:
        raise GenloomError("assistant.control_character", line=control[0], character=control[1])
    try:
        table = tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise GenloomError("assistant.bad_toml", reason=error) from None
    check_keys(Prompt, table, "prompt", excluded=("name", "version"))
    if "prompt" not in table:
        raise GenloomError("assistant.empty_prompt")
    values: dict[str, Any] = {**table, "name": name, "version": version}
    variables = _require_table(table.get("variables", {}), "variables")
    values["variables"] = {
        key: parse_settings(Variable, _expand_choices(_require_table(row, f"variables.{key}")), f"variables.{key}")
        for key, row in variables.items()
    }
    values["few_shot"] = parse_settings(FewShot, _require_table(table.get("few_shot", {}), "few_shot"), "few_shot")
    values["examples"] = tuple(
        parse_settings(Example, _read_given(row, location), location) for row, location in _iter_rows(table, "examples")
    )
    values["tests"] = tuple(_parse_test(row, location) for row, location in _iter_rows(table, "tests"))
    return parse_settings(Prompt, values, "prompt")


def format_prompt(prompt: Prompt) -> str:
    """Return a prompt as TOML, which `parse_prompt` reads back as the same prompt."""
    lines = [_format_entry(name, getattr(prompt, name)) for name in _HEAD if getattr(prompt, name)]
    if (few_shot := asdict(prompt.few_shot)) != asdict(FewShot()):
        lines += ["", "[few_shot]", *(_format_entry(name, value) for name, value in few_shot.items())]
    for title, table in (("settings", prompt.settings), ("words", prompt.words)):
        if table:
            lines += ["", f"[{title}]", *(_format_entry(to_toml_key(name), value) for name, value in table.items())]
    for name, variable in prompt.variables.items():
        lines += ["", f"[variables.{name}]", *_format_table(asdict(variable), asdict(Variable()), nested="choices")]
    for example in prompt.examples:
        lines += ["", "[[examples]]", *_format_given(example.given), _format_entry("answer", example.answer)]
    for test in prompt.tests:
        checks = _format_table(asdict(test.checks), asdict(AnswerChecks()))
        lines += ["", "[[tests]]", *_format_given(test.given), *checks]
    return "\n".join(lines) + "\n"


def build_checks(table: Mapping[str, Any], location: str) -> AnswerChecks:
    """Return the checks that a table of a file sets; a JSON value can be written as JSON or as a table.

    Raises
    ------
    GenloomError
        core.unknown_setting and its like, and what `AnswerChecks` raises.
    """
    import json

    values = dict(table)
    for name in ("schema", "json_equals"):
        if name in values and not isinstance(values[name], str):
            values[name] = json.dumps(values[name], ensure_ascii=False)
    for name in ("contains", "lacks", "check", "choices"):
        if isinstance(values.get(name), str):
            values[name] = [values[name]]
    return parse_settings(AnswerChecks, values, location)


def split_checks(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of a row that are checks, and the others."""
    return (
        {key: value for key, value in row.items() if key in _CHECKS},
        {key: value for key, value in row.items() if key not in _CHECKS},
    )


def _parse_test(row: Mapping[str, Any], location: str) -> PromptTest:
    checks, others = split_checks(row)
    test = parse_settings(PromptTest, _read_given(others, location), location)
    built = build_checks(checks, location)
    if built.is_empty:
        raise GenloomError("assistant.test_without_check", location=location, known=", ".join(_CHECKS))
    return PromptTest(test.given, built)


def _iter_rows(table: Mapping[str, Any], name: str) -> Iterable[tuple[Mapping[str, Any], str]]:
    rows = table.get(name, [])
    if not isinstance(rows, list):
        raise GenloomError("assistant.not_a_list", name=name)
    for number, row in enumerate(rows, start=1):
        yield _require_table(row, f"{name}[{number}]"), f"{name}[{number}]"


def _require_table(value: Any, location: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise GenloomError("assistant.not_a_table", location=location)
    return value


def _read_given(row: Mapping[str, Any], location: str) -> dict[str, Any]:
    """Return a row whose values of variables are texts or lists of texts; numbers are their digits."""
    given = {}
    for name, value in _require_table(row.get("given", {}), f"{location}.given").items():
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in items):
            reason = format_message("assistant.needs_text")
            setting = f"{location}.given.{name}"
            raise GenloomError("core.bad_setting_value", setting=setting, reason=reason, value=value)
        texts: list[str] = [str(item) for item in items]
        given[name] = texts if isinstance(value, list) else texts[0]
    return {**row, "given": given}


def _expand_choices(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a variable whose choices, if they are a list, stand for themselves."""
    if isinstance(row.get("choices"), list):
        return {**row, "choices": {str(choice): str(choice) for choice in row["choices"]}}
    return row


def _format_given(given: Mapping[str, Value]) -> list[str]:
    return [_format_entry(f"given.{to_toml_key(name)}", value) for name, value in given.items()]


def _format_table(table: Mapping[str, Any], defaults: Mapping[str, Any], nested: str = "") -> list[str]:
    """Return the lines of the fields that are not as by default; those of a nested table by dotted keys."""
    lines = []
    for key, value in table.items():
        if key == nested:
            lines += [_format_entry(f"{key}.{to_toml_key(choice)}", text) for choice, text in value.items()]
        elif value != defaults[key]:
            lines.append(_format_entry(key, value))
    return lines


def _format_entry(key: str, value: Any) -> str:
    if isinstance(value, str) and _is_clearer_as_block(value):
        return f"{key} = '''\n{value}'''"
    return f"{key} = {to_toml_value(value)}"


def _is_clearer_as_block(text: str) -> bool:
    is_safe = "'''" not in text and not text.endswith("'") and find_control_character(text) is None and "\r" not in text
    return is_safe and ("\n" in text or "\\" in text or '"' in text)


def to_toml_key(key: str) -> str:
    """Return a key as TOML writes it, between quotation marks if it has other characters than letters and digits."""
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else to_toml_value(key)
