"""The libraries that read and draw molecules, which are an extra of the installation."""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from genloom.errors import GenloomError


def load_library(name: str) -> ModuleType:
    """Import a module of the extra, e.g. "rdkit.Chem.Draw"; GenloomError, with its installation, if it is missing."""
    try:
        return import_module(name)
    except ImportError:
        raise GenloomError("molecule.library_missing", library=name.partition(".")[0]) from None


@cache
def load_chem() -> Any:
    """Return `rdkit.Chem`, with its log off: what it reports reaches people as errors of ours."""
    load_library("rdkit.RDLogger").DisableLog("rdApp.*")
    return load_library("rdkit.Chem")
