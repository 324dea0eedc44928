"""The interface between the editing of a medium and the engine: the start of sampling, and the step to the result.

A medium's editing is the plug-in kind "editing", found by the medium's name: a module with

    EditOptions    a dataclass of `settings.option` fields that default to None; each is a flag of `genloom generate`
    build_edit     (options, model) -> Edit: open and check the source
    unpack_edit    (record, medium, load_blob) -> Edit: read what `Edit.pack` wrote

`genloom.generate.default` edits values of any medium along their first axis.
"""

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from genloom import plugins
from genloom.errors import GenloomError
from genloom.model import Model
from genloom.settings import find_invalid_option, option
from genloom.store.files import read_beginning

if TYPE_CHECKING:
    from genloom.generate.engine import Request

SaveBlob = Callable[[bytes, str], str]  # stores bytes under a suffix and returns their digest
LoadBlob = Callable[[str], bytes]
MAX_SOURCE_BYTES = 256 << 20  # of the file of a source


@dataclass(frozen=True)
class SamplerStart:
    """Fields of the sampler's inputs, the function from the model's output to the result, and guidance.

    An edit of several parts of a value has a pass for each: `continue_with` gets the results of all rows, and returns
    the start of the next pass, whose `finish_rows` knows them.
    """

    inputs: Mapping[str, Any]
    finish: Callable[[Any], Any] = field(default=lambda value: value)
    wrap_network: Callable[[Any], Any] = field(default=lambda network: network)  # put around every network
    finish_rows: Callable[[Sequence[Any]], list[Any]] | None = None  # of all rows at once, in place of `finish`
    decode_row: Callable[[np.ndarray], str] | None = None  # of text, in place of the codec's `decode`
    continue_with: "Callable[[Sequence[Any]], SamplerStart] | None" = None  # None: this is the last pass

    def finish_all(self, values: Sequence[Any]) -> list[Any]:
        """Return the results of the model's outputs, one for each row."""
        return [self.finish(value) for value in values] if self.finish_rows is None else self.finish_rows(values)


@dataclass(frozen=True)
class SourceFile:
    """The file of a source, kept because it holds a signed manifest (C2PA), which the source's value does not."""

    data: bytes
    suffix: str

    def pack(self, save_blob: SaveBlob) -> dict[str, str]:
        """Return the field of an edit's record from which the signature of the output takes its source."""
        return {"source_file": save_blob(self.data, self.suffix)}


def read_source_file(path: Path) -> SourceFile | None:
    """Return the file of a source that was opened from this path; None if it holds no manifest."""
    data = read_beginning(path, MAX_SOURCE_BYTES)
    return SourceFile(data, path.suffix.lower() or ".bin") if b"c2pa" in data else None


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


def count_passes(edit: Edit | None, model: Model) -> int:
    """Return how often sampling runs for an edit: once for each part of a value that has a pass of its own."""
    count = getattr(edit, "count_passes", None)
    return 1 if count is None else count(model)


def needs_start(edit: Edit) -> bool:
    """Return whether an edit starts from something; one that only chooses among outputs says that it does not."""
    return bool(getattr(edit, "needs_start", True))


def list_inputs(model: Model) -> set[str]:
    """Return the names of the inputs of the model's sampler."""
    params_class = plugins.find_part("objective", model.design.objective).SamplingParams
    inputs_class = typing.get_type_hints(params_class).get("inputs")
    return set() if inputs_class is None else {f.name for f in fields(inputs_class)}


def share_option(help: str) -> Any:
    """Return an option of an edit for a share above 0, at most 1."""
    return option(None, help, is_valid=lambda value: 0 < value <= 1, requirement="above 0, at most 1")


def check_edit_options(options: Any) -> None:
    """Raise ValueError for the first option with a value that its field does not allow."""
    if (invalid := find_invalid_option(options)) is not None:
        name, requirement, value = invalid
        name = name.rstrip("_").replace("_", "-")
        raise GenloomError("generate.bad_edit_option", name=name, requirement=requirement, value=value)
