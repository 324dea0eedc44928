"""The libraries that read and write sounds, which are an extra of the installation."""

from importlib import import_module
from typing import Any

from genloom.errors import GenloomError


def load_library(name: str) -> Any:
    """Import a library of the extra; GenloomError, with the command that installs it, if it is missing."""
    try:
        return import_module(name)
    except (ImportError, OSError):  # soundfile raises an OSError without its shared library
        raise GenloomError("audio.library_missing", library=name) from None
