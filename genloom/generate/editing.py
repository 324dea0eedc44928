"""What the editing of a medium gives the engine: where sampling starts, and how its output becomes the result.

A medium's editing is the plug-in kind "editing", found by the medium's name: a module with

    EditOptions    a dataclass of `settings.option` fields that default to None; each is a flag of `genloom generate`
    build_edit     (options, model) -> Edit: open and check the source
    unpack_edit    (record, medium, load_blob) -> Edit: read what `Edit.pack` wrote

`genloom.generate.default` edits values of any medium along their first axis.
"""

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from genloom import plugins
from genloom.errors import GenloomError
from genloom.model import Model
from genloom.settings import find_invalid_option

if TYPE_CHECKING:
    from genloom.generate.engine import Request

SaveBlob = Callable[[bytes, str], str]  # stores bytes under a suffix and returns their digest
LoadBlob = Callable[[str], bytes]


@dataclass(frozen=True)
class SamplerStart:
    """Fields of the sampler's inputs, and the function from the model's output to the result."""

    inputs: Mapping[str, Any]
    finish: Callable[[Any], Any] = field(default=lambda value: value)


class Edit(Protocol):
    """A source and what is changed of it."""

    def prepare(self, model: Model, request: "Request") -> SamplerStart:
        """Return where the sampling of the request's rows starts. Raise ValueError for what the model cannot do."""
        ...

    def pack(self, medium: Any, save_blob: SaveBlob) -> dict[str, Any]:
        """Return the edit for JSON; `save_blob` stores its source."""
        ...


def can_edit(model: Model) -> bool:
    """Return whether the model's sampler can start from a source."""
    return bool(list_inputs(model) & {"init_values", "known_ids", "prompt_ids"})


def list_inputs(model: Model) -> set[str]:
    """Return the names of the inputs of the model's sampler."""
    params_class = plugins.find_part("objective", model.design.objective).SamplingParams
    inputs_class = typing.get_type_hints(params_class).get("inputs")
    return set() if inputs_class is None else {f.name for f in fields(inputs_class)}


def check_edit_options(options: Any) -> None:
    """Raise ValueError for the first option with a value that its field does not allow."""
    if (invalid := find_invalid_option(options)) is not None:
        name, requirement, value = invalid
        name = name.rstrip("_").replace("_", "-")
        raise GenloomError("generate.bad_edit_option", name=name, requirement=requirement, value=value)
