"""What an output is: its text, or what its file holds."""

from collections.abc import Mapping
from functools import cache
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
    if (medium := _of_suffix(path.suffix.lower())) is None:
        raise ValueError(f"{path}: no medium of this Genloom opens {path.suffix} files. Install the package that does.")
    return medium


@cache  # asking the installed packages takes longer than opening a small picture
def _of_suffix(suffix: str) -> Any:
    media = (plugins.find("medium", name) for name in plugins.names("medium"))
    return next((medium for medium in media if suffix in medium.suffixes), None)
