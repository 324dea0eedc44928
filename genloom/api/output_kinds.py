"""Kinds of outputs that were not sampled at once by a network: how each is repeated from its record, and saved."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom.api.outputs import Output
    from genloom.api.signing import Note

# The table of a record that tells the kind of an output, and the module that describes the kind as KIND.
_MODULES = {"speech": "genloom.api.speech", "transcript": "genloom.api.transcription"}


@dataclass(frozen=True)
class OutputKind:
    """The treatment of outputs of one kind, where it differs from that of the outputs of networks."""

    replay: "Callable[[Output], Any]"  # makes the output again, and returns its value
    can_save: Callable[[Path], bool] = lambda path: False  # whether `save` writes files of this suffix
    save: "Callable[[Output, Path, Note | None], Path] | None" = None


def find_kind(record: Mapping[str, Any]) -> OutputKind | None:
    """Return the kind of an output by its record; None for those that networks made."""
    module = next((module for table, module in _MODULES.items() if record.get(table)), None)
    return None if module is None else import_module(module).KIND
