"""The value of a stored output and its medium."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from genloom import plugins
from genloom.errors import GenloomError
from genloom.media.abilities import get_ability
from genloom.media.opening import open_limited
from genloom.store.output_files import verify_output


def load_output(path: Path, record: Mapping[str, Any]) -> Any:
    """Return the generated text, or the value that the output's medium opens from its file.

    Raises GenloomError if the file was changed.
    """
    verify_output(path, record)
    text = record.get("written")
    return text if text is not None else find_medium(path, record).open(path).value


def find_medium(path: Path, record: Mapping[str, Any] | None = None) -> ModuleType:
    """Return the medium that the output's record names; without one, the first medium with the file's suffix."""
    return plugins.find_part("medium", find_medium_name(path, record))


def find_medium_name(path: Path, record: Mapping[str, Any] | None = None) -> str:
    """Return the name of an output's medium (see `find_medium`)."""
    if record and record.get("medium"):
        return str(record["medium"])
    if record and isinstance(record.get("written"), str):
        return "text"  # outputs of older versions
    if (name := _find_medium_by_suffix(path.suffix.lower())) is None:
        raise GenloomError("rate.unknown_suffix", path=path, suffix=path.suffix)
    return name


def open_values(path: Path) -> tuple[str, list[Any]]:
    """Return the medium of a file, by its suffix, and its values: several of a format whose files hold several.

    A file from outside is read with limits. Raises GenloomError (rate.unknown_suffix, or what the medium says of it).
    """
    if (name := _find_collection_medium(path.suffix.lower())) is not None:
        items = open_limited(get_ability(plugins.find_part("medium", name), "open_collection"), path)
        if items:
            return name, [item.value for item in items]
    name = find_medium_name(path)
    return name, [open_limited(plugins.find_part("medium", name).open, path).value]


@cache
def _find_collection_medium(suffix: str) -> str | None:
    """Return the first medium that reads files of several values with this suffix."""
    for name in plugins.list_part_names("medium"):
        medium = plugins.find_part("medium", name)
        if get_ability(medium, "open_collection") is not None and suffix in get_ability(medium, "collection_suffixes"):
            return name
    return None


@cache  # listing the installed packages takes longer than opening a small image
def _find_medium_by_suffix(suffix: str) -> str | None:
    names = plugins.list_part_names("medium")
    return next((name for name in names if suffix in plugins.find_part("medium", name).suffixes), None)
