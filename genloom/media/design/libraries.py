"""The libraries of units, outlines and solids, which are an extra of the installation."""

from importlib import import_module
from typing import Any

from genloom.errors import GenloomError


def import_library(name: str) -> Any:
    """Import a module of the extra, e.g. "skimage.measure"; GenloomError, with its installation, if it is missing."""
    try:
        return import_module(name)
    except ImportError:
        raise GenloomError("design.library_missing", library=name.partition(".")[0]) from None
