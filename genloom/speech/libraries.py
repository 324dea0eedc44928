"""The libraries that run models of speech, which are an extra of the installation."""

from importlib import import_module
from types import ModuleType

from genloom.errors import GenloomError


def load_library(name: str) -> ModuleType:
    """Import a library of the extra; GenloomError, with the command that installs it, if it is missing."""
    try:
        return import_module(name)
    except ImportError:
        raise GenloomError("speech.library_missing", library=name.partition(".")[0]) from None
