"""Genloom makes generative models that a person owns and teaches.

import genloom as gl

ws = gl.Workspace()
ws.collect("./notes", name="notes")
model = ws.train("notes", minutes=10)
model.generate("On the sea", n=3)[0].rate(up=True)
"""

import os as _os

from genloom import processors as _processors

__version__ = "0.1.0"

for _name, _value in _processors.limit_threads().items():  # before anything loads torch, which reads them once
    _os.environ.setdefault(_name, _value)

TYPE_CHECKING = False  # `typing` would take longer to import than this file
if TYPE_CHECKING:
    from genloom.api.arena import Arena as Arena
    from genloom.api.chat import Chat as Chat
    from genloom.api.datasets import Dataset as Dataset
    from genloom.api.models import Model as Model
    from genloom.api.outputs import Output as Output
    from genloom.api.outputs import Outputs as Outputs
    from genloom.api.parts import parts as parts
    from genloom.api.receipts import Receipt as Receipt
    from genloom.api.workspace import Workspace as Workspace
    from genloom.errors import GenloomError as GenloomError

_MODULES = {
    "Arena": "genloom.api.arena",
    "Chat": "genloom.api.chat",
    "Dataset": "genloom.api.datasets",
    "GenloomError": "genloom.errors",
    "Model": "genloom.api.models",
    "Output": "genloom.api.outputs",
    "Outputs": "genloom.api.outputs",
    "Receipt": "genloom.api.receipts",
    "Workspace": "genloom.api.workspace",
    "parts": "genloom.api.parts",
}


def __getattr__(name: str) -> object:
    """Import a name of the Python API when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'genloom' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*_MODULES, "__version__"])
