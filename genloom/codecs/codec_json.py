"""The file codec.json that says which codec a folder holds and how it was configured."""

import json
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from genloom.old_names import upgrade_fields

ConfigT = TypeVar("ConfigT")

_LARGEST_BYTES = 1 << 16


def read_config(path: Path, codec: str, config: type[ConfigT]) -> ConfigT:
    """The `config` (a dataclass of positive integers) in `path`; ValueError names the file and what is wrong."""
    content = read_json(path)
    actual_codec = content.pop("codec", None)
    if actual_codec != codec:
        raise damaged_error(path, f"it is for the codec {actual_codec!r}, not {codec!r}")
    content = upgrade_fields(config, content)
    names = {field.name for field in fields(config)}  # ty: ignore[invalid-argument-type]
    if set(content) != names:
        raise damaged_error(path, f"it must set {', '.join(sorted(names))}")
    for name, value in content.items():
        if type(value) is not int or value < 1:
            raise damaged_error(path, f"{name} must be a whole number above 0, not {value!r}")
    return config(**content)


def read_json(path: Path) -> dict[str, object]:
    """The JSON object in a small file; ValueError names the file and what is wrong."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        content = json.loads(data)
    except OSError as error:
        raise damaged_error(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise damaged_error(path, f"not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise damaged_error(path, "not a JSON object")
    return content


def damaged_error(path: Path, reason: str) -> ValueError:
    return ValueError(f"{path} can't be used: {reason}. Restore the model's folder or train it again.")
