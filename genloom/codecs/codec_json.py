"""The file codec.json: which codec a folder holds, and its configuration."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from genloom.errors import GenloomError, format_message
from genloom.old_names import upgrade_fields

ConfigT = TypeVar("ConfigT")

_LARGEST_BYTES = 1 << 16


def write_config(folder: Path, codec: str, config: Any) -> None:
    """Write which codec the folder holds and its configuration, a dataclass; create the folder."""
    folder.mkdir(exist_ok=True)
    (folder / "codec.json").write_text(json.dumps({"codec": codec, **asdict(config)}) + "\n")


def write_text_config(folder: Path, codec: str, config: Any) -> None:
    """Write what `read_config` reads: flags that are off are left out, so that folders without them stay the same."""
    folder.mkdir(exist_ok=True)
    table = {name: value for name, value in asdict(config).items() if value is not False}
    (folder / "codec.json").write_text(json.dumps({"codec": codec, **table}) + "\n")


def read_table(path: Path, codec: str) -> dict[str, Any]:
    """Read the configuration of this codec; ValueError names the file and what is wrong."""
    content = read_json(path)
    actual_codec = content.pop("codec", None)
    if actual_codec != codec:
        raise damaged_error(path, format_message("codecs.wrong_codec", actual=actual_codec, expected=codec))
    return content


def read_config(path: Path, codec: str, config: type[ConfigT]) -> ConfigT:
    """Read a `config` (a dataclass of positive integers and flags, which are off if they are absent).

    Raise ValueError, which names the file and what is wrong.
    """
    content = upgrade_fields(config, read_table(path, codec))
    types = {field.name: field.type for field in fields(config)}  # ty: ignore[invalid-argument-type]
    flags = {name for name, kind in types.items() if kind in (bool, "bool")}
    if not types.keys() - flags <= content.keys() <= types.keys():
        keys = ", ".join(["codec", *sorted(types.keys() - flags)])
        raise damaged_error(path, format_message("codecs.wrong_codec_keys", keys=keys))
    for name, value in content.items():
        if type(value) is not (bool if name in flags else int) or value < 1:
            raise damaged_error(path, format_message("codecs.bad_codec_value", name=name, value=value))
    return config(**content)


def read_json(path: Path) -> dict[str, object]:
    """Read the JSON object in a small file; ValueError names the file and what is wrong."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        content = json.loads(data)
    except OSError as error:
        raise damaged_error(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise damaged_error(path, format_message("codecs.not_json", reason=error)) from error
    if not isinstance(content, dict):
        raise damaged_error(path, format_message("codecs.not_json_object"))
    return content


def damaged_error(path: Path, reason: str) -> GenloomError:
    """Return the error of a file in a codec's folder that cannot be used."""
    return GenloomError("codecs.damaged_file", path=path, reason=reason.removesuffix("."))
