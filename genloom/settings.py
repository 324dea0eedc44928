"""Settings: tables (of a job, a card or the command line) parsed into frozen dataclasses, and written back as TOML."""

import dataclasses
import json
import math
import numbers
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from genloom.errors import GenloomError, format_message, format_suggestion
from genloom.old_names import upgrade_fields

Value = TypeVar("Value")
PLAIN_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

MAX_RECIPE_BYTES = 1_000_000


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    is_valid: Callable[[Any], bool] = lambda value: True,
    requirement: str = "",
    suggested: Any = None,
) -> Any:
    """Return a dataclass field that people set: its help, and the values that it allows, which `parse_settings` tests.

    `requirement` says in words what `is_valid` tests, or both bounds. `suggested` is used instead of the default where
    people generate without a choice; the default stays that of records.
    """

    def is_allowed(value: Any) -> bool:
        return (
            (minimum is None or value >= minimum)
            and (maximum is None or value <= maximum)
            and (not choices or value in choices)
            and is_valid(value)
        )

    bounds = {
        (True, True): f"from {minimum} to {maximum}",
        (True, False): f"at least {minimum}",
        (False, True): f"at most {maximum}",
        (False, False): f"one of {', '.join(filter(None, choices))}" if choices else "",
    }[minimum is not None, maximum is not None]
    texts: dict[str, Any] = {"help": help, "requirement": requirement or bounds, "choices": tuple(choices)}
    texts |= {"minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata={**texts, "is_allowed": is_allowed, "suggested": suggested})


def find_invalid_option(options: Any) -> tuple[str, str, Any] | None:
    """Return the name, the requirement and the value of the first option of a dataclass that is not allowed."""
    for f in dataclasses.fields(options):
        if not is_allowed(f, value := getattr(options, f.name)):
            return f.name, f.metadata["requirement"], value
    return None


def is_allowed(field: dataclasses.Field, value: Any) -> bool:
    """Return whether a field allows a value: it is not an option, or None, or within its bounds."""
    return "is_allowed" not in field.metadata or value is None or field.metadata["is_allowed"](value)


@dataclasses.dataclass(frozen=True)
class OptionInfo:
    """An option for the help: its name, type, default, allowed values and meaning."""

    name: str
    type: str
    default: Any
    requirement: str
    help: str
    suggested: Any = None  # used where people generate without a choice; None: the default
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def list_options(cls: Any) -> list[OptionInfo]:
    """List the options of a dataclass: the fields that `option` made."""
    types = typing.get_type_hints(cls)
    return [
        OptionInfo(
            f.name,
            getattr(types[f.name], "__name__", str(types[f.name])),
            f.default,
            f.metadata["requirement"],
            f.metadata["help"],
            f.metadata["suggested"],
            f.metadata["minimum"],
            f.metadata["maximum"],
            f.metadata["choices"],
        )
        for f in dataclasses.fields(cls)
        if "is_allowed" in f.metadata
    ]


def parse_settings(cls: type[Value], table: Mapping[str, Any], location: str) -> Value:
    """Build the dataclass `cls` from the fields in `table`; see `parse_values`."""
    return cls(**parse_values(cls, table, location))


def parse_values(cls: Any, table: Mapping[str, Any], location: str, excluded: Iterable[str] = ()) -> dict[str, Any]:
    """Return the values of fields of the dataclass `cls`; errors call the table `location`, e.g. "plan.optimizer".

    Raise ValueError for a key that is excluded or that the dataclass does not have, naming the nearest, and for a value
    of the wrong type or outside the bounds of its option.
    """
    table = _upgrade_table(cls, table)
    check_keys(cls, table, location, excluded)
    types = typing.get_type_hints(cls)
    values = {}
    for key, value in table.items():
        try:
            values[key] = TypeAdapter(types[key]).validate_python(value)
            if not are_plain_numbers(value, values[key]):
                reason = format_message("core.not_allowed", requirement="a finite number")
                raise GenloomError("core.bad_setting_value", setting=f"{location}.{key}", reason=reason, value=value)
        except ValidationError as error:
            first_error = error.errors()[0]
            setting = ".".join([location, key, *(str(part) for part in first_error["loc"])])
            raise GenloomError(
                "core.bad_setting_value", setting=setting, reason=first_error["msg"], value=first_error["input"]
            ) from None
    _check_options(cls, values, location)
    return values


def are_plain_numbers(value: Any, parsed: Any) -> bool:
    """Return whether the numbers in a parsed value were given as finite numbers: not as true, and not as a text."""
    match parsed:
        case bool():
            return True
        case int() | float():
            return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
        case list() | tuple() if isinstance(value, list | tuple):
            return all(map(are_plain_numbers, value, parsed))
        case dict() if isinstance(value, Mapping):
            return all(map(are_plain_numbers, value.values(), parsed.values()))
        case _ if dataclasses.is_dataclass(parsed) and isinstance(value, Mapping):
            return all(are_plain_numbers(value[name], getattr(parsed, name)) for name in value)
    return True


def _check_options(cls: Any, values: Mapping[str, Any], location: str) -> None:
    """Raise ValueError for the first option, here or in a nested dataclass, with a value that it does not allow."""
    for f in dataclasses.fields(cls):
        value, setting = values.get(f.name), f"{location}.{f.name}"
        if not is_allowed(f, value):
            reason = format_message("core.not_allowed", requirement=f.metadata["requirement"])
            raise GenloomError("core.bad_setting_value", setting=setting, reason=reason, value=value)
        if dataclasses.is_dataclass(value):
            _check_options(value, vars(value), setting)


def _upgrade_table(cls: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the field names of earlier versions in the table and in the tables of its dataclass fields."""
    table, types = upgrade_fields(cls, table), typing.get_type_hints(cls)
    return {
        key: _upgrade_table(types[key], value)
        if dataclasses.is_dataclass(types.get(key)) and isinstance(value, Mapping)
        else value
        for key, value in table.items()
    }


def check_keys(cls: Any, table: Mapping[str, Any], location: str, excluded: Iterable[str] = ()) -> None:
    """Raise ValueError for the first key, here or in a nested table, that is excluded or not a field."""
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init and f.name not in excluded}
    types = typing.get_type_hints(cls)
    for key, value in table.items():
        if key not in fields:
            hint, known = format_suggestion(key, fields), ", ".join(fields)
            raise GenloomError("core.unknown_setting", location=location, key=key, hint=hint, known=known)
        if dataclasses.is_dataclass(types[key]) and isinstance(value, Mapping):
            check_keys(types[key], value, f"{location}.{key}")


def to_table(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as a table of plain values, ready for TOML or JSON; omit None."""
    return to_plain(dataclasses.asdict(value))


def to_plain(value: Any) -> Any:
    """Return nested mappings and sequences as dicts and lists; omit None in mappings."""
    if isinstance(value, Mapping):
        return {k: to_plain(v) for k, v in value.items() if v is not None}
    return [to_plain(v) for v in value] if isinstance(value, list | tuple) else value


def apply_overrides(settings: dict[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings with dotted paths set ("network.width" to "384"); a value that is not TOML is a string."""
    settings = dict(settings)
    for path, text in overrides.items():
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        if not isinstance(value, bool | str | list | dict) and not PLAIN_NUMBER.fullmatch(text):
            value = text  # TOML also reads 1_000, 0x10 and dates
        table = settings
        *parents, last = path.split(".")
        for n, key in enumerate(parents, start=1):
            if not isinstance(table.get(key, {}), Mapping):
                parent = ".".join(parents[:n])
                raise GenloomError("core.setting_not_table", path=path, parent=parent, value=table[key])
            table[key] = dict(table.get(key, {}))
            table = table[key]
        table[last] = value
    return settings


def read_recipe(path: Path) -> dict[str, str]:
    """Return the settings of a TOML file as `apply_overrides` takes them; ValueError if it is unreadable."""
    text = read_bounded_text(path, "this recipe", MAX_RECIPE_BYTES)
    try:
        return flatten_settings(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise GenloomError("core.bad_recipe", path=path, reason=error) from None


def read_bounded_text(path: Path, description: str, limit: int) -> str:
    """Return the text of a UTF-8 file named by the user, which may be a pipe; GenloomError if it is unreadable.

    At most `limit` bytes are read: the size of a pipe or a device is not known before.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
        text = content.decode("utf-8-sig") if len(content) <= limit else ""
    except (OSError, UnicodeDecodeError) as error:
        raise build_unreadable_error(path, description, error) from None
    if len(content) > limit:
        reason = format_message("core.file_too_large", limit=limit)
        raise GenloomError("core.unreadable_file", path=path, description=description, reason=reason)
    return text


def build_unreadable_error(path: Path, description: str, error: OSError | UnicodeDecodeError) -> GenloomError:
    """Return the error for a file named by the user that cannot be read, with the reason and the cure."""
    return GenloomError(
        "core.unreadable_file", path=path, description=description, reason=explain_unreadable_file(error)
    )


def explain_unreadable_file(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file cannot be read, with the cure."""
    match error:
        case UnicodeDecodeError():
            return format_message("core.file_not_utf8")
        case FileNotFoundError() | NotADirectoryError():
            return format_message("core.file_missing")
        case IsADirectoryError():
            return format_message("core.file_is_folder")
        case PermissionError():
            return format_message("core.file_permission")
        case _:
            return format_message("core.file_other_reason", reason=(error.strerror or str(error)).lower())


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested tables as dotted paths with their values as TOML."""
    flattened: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flattened |= flatten_settings(value, f"{prefix}{key}.")
        else:
            flattened[prefix + key] = to_toml_value(value)
    return flattened


def to_toml(settings: Mapping[str, Any], prefix: str = "") -> str:
    """Return nested tables of strings, numbers, booleans and lists as TOML."""
    lines = [f"{_to_toml_key(k)} = {to_toml_value(v)}" for k, v in settings.items() if not isinstance(v, Mapping)]
    sections = ["\n".join(lines)] if lines else []
    for key, table in settings.items():
        if isinstance(table, Mapping):
            name = f"{prefix}{_to_toml_key(key)}"
            header = "" if table and all(isinstance(v, Mapping) for v in table.values()) else f"[{name}]\n"
            sections.append(header + to_toml(table, name + ".").rstrip("\n"))
    return "\n\n".join(sections) + "\n"


def _to_toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else to_toml_value(key)


def to_toml_value(value: Any) -> str:
    """Return a scalar or list as TOML. JSON scalars are valid TOML except NaN, infinity and U+007F."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(to_toml_value(v) for v in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
