"""What an output is: its text, or what its file holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genloom import plugins


def value_of(path: Path, record: Mapping[str, Any]) -> Any:
    """The text that a model wrote, or the value that the file's medium opens; ValueError where none does."""
    written = record.get("written")
    if isinstance(written, str):
        return written
    return medium_of(path).open(path).value


def medium_of(path: Path) -> Any:
    """The medium whose files end as this one does."""
    for name in plugins.names("medium"):
        medium = plugins.find("medium", name)
        if path.suffix.lower() in medium.suffixes:
            return medium
    raise ValueError(f"{path}: no medium of this Genloom opens {path.suffix} files. Install the package that does.")
