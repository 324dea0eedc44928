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

from pydantic import TypeAdapter, ValidationError

Value = TypeVar("Value")

LARGEST_RECIPE = 1_000_000  # bytes


def made(kind: type[Value], table: Mapping[str, Any], where: str) -> Value:
    """A `kind` (a dataclass) with the fields of `table`, which errors call `where` ("network", "plan.rates").

    Raises ValueError for a key the dataclass does not have, naming the nearest, and for a value of the wrong type.
    """
    check_keys(kind, table, where)
    types = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        try:
            values[key] = TypeAdapter(types[key]).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            at = ".".join([where, key, *(str(part) for part in first["loc"])])
            raise ValueError(f"{at}: {first['msg']}, got {first['input']!r}.") from None
    return kind(**values)


def check_keys(kind: Any, table: Mapping[str, Any], where: str) -> None:
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    types = typing.get_type_hints(kind)
    for key, value in table.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Unknown setting {where}.{key}.{hint} {where} has: {', '.join(fields)}.")
        if dataclasses.is_dataclass(types[key]) and isinstance(value, Mapping):
            check_keys(types[key], value, f"{where}.{key}")


def table(value: Any) -> dict[str, Any]:
    """The fields of a frozen value as a table of plain values, ready for TOML or JSON; None is left out."""
    return plain(dataclasses.asdict(value))


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items() if v is not None}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def overridden(settings: dict[str, Any], changes: Mapping[str, str]) -> dict[str, Any]:
    """Settings with dotted paths set ("network.width" to "384"); a value that is not TOML is taken as text."""
    settings = dict(settings)
    for path, text in changes.items():
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        inner = settings
        *above, last = path.split(".")
        for n, key in enumerate(above, start=1):
            if not isinstance(inner.get(key, {}), Mapping):
                raise ValueError(f"{path} cannot be set: {'.'.join(above[:n])} is a value, {inner[key]!r}, no table.")
            inner[key] = dict(inner.get(key, {}))
            inner = inner[key]
        inner[last] = value
    return settings


def recipe(path: Path) -> dict[str, str]:
    """The settings of a TOML file as `overridden` wants them; ValueError names the file where it cannot be read."""
    try:
        if path.stat().st_size > LARGEST_RECIPE:
            raise ValueError(f"{path}: a recipe is a short file, and this one holds more than a million bytes.")
        return flat(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: this recipe cannot be read: {error}. It must be a TOML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise unread(path, "this recipe", error) from None


def unread(path: Path, what: str, error: OSError | UnicodeDecodeError) -> ValueError:
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
    return ValueError(f"{path}: {what} cannot be read: {reason}")


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as dotted paths with their values as TOML."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = json.dumps(value, ensure_ascii=False)
    return found


def as_toml(settings: Mapping[str, Any], prefix: str = "") -> str:
    """TOML of nested tables of text, numbers, truths and lists. Keys are names of fields."""
    plain = [f"{k} = {as_value(v)}" for k, v in settings.items() if not isinstance(v, Mapping)]
    parts = ["\n".join(plain)] if plain else []
    for key, inner in settings.items():
        if isinstance(inner, Mapping):
            name = f"{prefix}{key}"
            head = "" if inner and all(isinstance(v, Mapping) for v in inner.values()) else f"[{name}]\n"
            parts.append(head + as_toml(inner, name + ".").rstrip("\n"))
    return "\n\n".join(parts) + "\n"


def as_value(value: Any) -> str:
    """JSON is TOML but for what is not finite, and one control character."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_value(v) for v in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
