"""Tables of settings (a job, a card, the command line) made frozen values, and back; misspelt keys get an answer."""

import dataclasses
import difflib
import json
import math
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from genloom.old_names import upgrade_fields
from pydantic import TypeAdapter, ValidationError

Value = TypeVar("Value")

MAX_RECIPE_BYTES = 1_000_000  # bytes


def parse(cls: type[Value], table: Mapping[str, Any], location: str) -> Value:
    """A `kind` (a dataclass) with the fields of `table`, which errors call `where` ("network", "plan.rates").

    Raises ValueError for a key the dataclass does not have, naming the nearest, and for a value of the wrong type.
    """
    table = _upgrade_table(cls, table)
    check_keys(cls, table, location)
    types = typing.get_type_hints(cls)
    values = {}
    for key, value in table.items():
        try:
            values[key] = TypeAdapter(types[key]).validate_python(value)
        except ValidationError as error:
            first_error = error.errors()[0]
            path = ".".join([location, key, *(str(part) for part in first_error["loc"])])
            raise ValueError(f"{path}: {first_error['msg']}, got {first_error['input']!r}.") from None
    return cls(**values)


def _upgrade_table(cls: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with field names of earlier versions renamed, here and in the tables of its dataclass fields."""
    table, types = upgrade_fields(cls, table), typing.get_type_hints(cls)
    return {
        key: _upgrade_table(types[key], value)
        if dataclasses.is_dataclass(types.get(key)) and isinstance(value, Mapping)
        else value
        for key, value in table.items()
    }


def check_keys(cls: Any, table: Mapping[str, Any], location: str) -> None:
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    types = typing.get_type_hints(cls)
    for key, value in table.items():
        if key not in fields:
            close_matches = difflib.get_close_matches(key, fields, 1)
            hint = f" Did you mean {close_matches[0]!r}?" if close_matches else ""
            raise ValueError(f"Unknown setting {location}.{key}.{hint} {location} has: {', '.join(fields)}.")
        if dataclasses.is_dataclass(types[key]) and isinstance(value, Mapping):
            check_keys(types[key], value, f"{location}.{key}")


def to_table(value: Any) -> dict[str, Any]:
    """The fields of a frozen value as a table of plain values, ready for TOML or JSON; None is left out."""
    return to_plain(dataclasses.asdict(value))


def to_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: to_plain(v) for k, v in value.items() if v is not None}
    return [to_plain(v) for v in value] if isinstance(value, list | tuple) else value


def apply_overrides(settings: dict[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    """Settings with dotted paths set ("network.width" to "384"); a value that is not TOML is taken as text."""
    settings = dict(settings)
    for path, text in overrides.items():
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table = settings
        *parents, last = path.split(".")
        for n, key in enumerate(parents, start=1):
            if not isinstance(table.get(key, {}), Mapping):
                raise ValueError(f"{path} cannot be set: {'.'.join(parents[:n])} is a value, {table[key]!r}, no table.")
            table[key] = dict(table.get(key, {}))
            table = table[key]
        table[last] = value
    return settings


def read_recipe(path: Path) -> dict[str, str]:
    """The settings of a TOML file as `overridden` wants them; ValueError names the file where it cannot be read."""
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise ValueError(f"{path}: a recipe is a short file, and this one holds more than a million bytes.")
        return flatten(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: this recipe cannot be read: {error}. It must be a TOML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable_error(path, "this recipe", error) from None


def unreadable_error(path: Path, description: str, error: OSError | UnicodeDecodeError) -> ValueError:
    """Why `what` cannot be read from a file that a person named, and the cure."""
    match error:
        case UnicodeDecodeError():
            reason = "it is not UTF-8. Save it as a UTF-8 text file."
        case FileNotFoundError() | NotADirectoryError():
            reason = "there is no such file. Check its name."
        case IsADirectoryError():
            reason = "it is a folder. Name a file in it."
        case PermissionError():
            reason = "there is no permission to. Change the permissions of the file."
        case _:
            reason = f"{(error.strerror or str(error)).lower()}. Name another file."
    return ValueError(f"{path}: {description} cannot be read: {reason}")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as dotted paths with their values as TOML."""
    flattened: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flattened |= flatten(value, f"{prefix}{key}.")
        else:
            flattened[prefix + key] = json.dumps(value, ensure_ascii=False)
    return flattened


def to_toml(settings: Mapping[str, Any], prefix: str = "") -> str:
    """TOML of nested tables of text, numbers, truths and lists. Keys are names of fields."""
    lines = [f"{k} = {to_toml_value(v)}" for k, v in settings.items() if not isinstance(v, Mapping)]
    sections = ["\n".join(lines)] if lines else []
    for key, table in settings.items():
        if isinstance(table, Mapping):
            name = f"{prefix}{key}"
            header = "" if table and all(isinstance(v, Mapping) for v in table.values()) else f"[{name}]\n"
            sections.append(header + to_toml(table, name + ".").rstrip("\n"))
    return "\n\n".join(sections) + "\n"


def to_toml_value(value: Any) -> str:
    """JSON is TOML but for what is not finite, and one control character."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(to_toml_value(v) for v in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
