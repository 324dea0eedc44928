"""What an output is: its text, or what its file holds."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from genloom import plugins


def load_output(path: Path, record: Mapping[str, Any]) -> Any:
    """The text that a model wrote, or the value that the file's medium opens; ValueError where none does."""
    text = record.get("written")
    if isinstance(text, str):
        return text
    return find_medium(path).open(path).value


def find_medium(path: Path) -> Any:
    """The medium whose files end as this one does."""
    if (medium := _find_medium_by_suffix(path.suffix.lower())) is None:
        raise ValueError(f"{path}: no medium of this Genloom opens {path.suffix} files. Install the package that does.")
    return medium


@cache  # asking the installed packages takes longer than opening a small picture
def _find_medium_by_suffix(suffix: str) -> Any:
    media = (plugins.find_part("medium", name) for name in plugins.part_names("medium"))
    return next((medium for medium in media if suffix in medium.suffixes), None)
