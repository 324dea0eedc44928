"""Editing of a medium that has none of its own: variations, continuations and fills along the first axis.

Shape letters: C channels, B rows, L length.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genloom import plugins
from genloom.errors import GenloomError
from genloom.generate.blanks import BlankEdit, unpack_blanks
from genloom.generate.editing import (
    LoadBlob,
    SamplerStart,
    SaveBlob,
    SourceFile,
    check_edit_options,
    list_inputs,
    read_source_file,
    share_option,
)
from genloom.media.opening import open_limited
from genloom.model import Model, resolve_space
from genloom.settings import option
from genloom.types import TokenSpace

if TYPE_CHECKING:
    from genloom.generate.engine import Request


@dataclass(frozen=True)
class EditOptions:
    """The source of an edit, and the part of it to change."""

    source: Path | None = option(None, "File to start from; needs --fill or --strength.")
    fill: str | None = option(None, "Part to generate, FROM:TO in shares of the length: 0.25:0.5; 0.5: continues half.")
    strength: float | None = share_option("Change, above 0 to 1: 1 replaces the source.")


@dataclass(frozen=True, eq=False)
class SourceEdit:
    """A value, and the part of it to generate."""

    value: Any
    fill: tuple[float, float] | None = None  # shares of the first axis; None: everywhere
    strength: float = 1.0  # how much it changes: near 0 hardly anything, 1 everything
    file: SourceFile | None = None  # that the value comes from, if it is signed

    def prepare(self, model: Model, request: "Request") -> SamplerStart:
        if isinstance(space := resolve_space(model.design, model.codec), TokenSpace):
            return SamplerStart(self._prepare_tokens(model, space, len(request.prompts)))
        return SamplerStart(self._prepare_signal(model))

    def _prepare_signal(self, model: Model) -> dict[str, Any]:
        values = torch.from_numpy(np.asarray(model.codec.encode(self.value))).float()  # C *size
        inputs: dict[str, Any] = {"init_values": values, "strength": self.strength}
        if self.fill is not None:
            if values.ndim < 2:
                raise GenloomError("generate.fill_without_axis")
            begin, end = self._resolve_fill(values.shape[1])
            mask = torch.zeros(values.shape[1], dtype=torch.bool)
            mask[begin:end] = True
            inputs |= {"known_values": values, "mask": mask.view(-1, *[1] * (values.ndim - 2)).expand(values.shape[1:])}
        return inputs

    def _prepare_tokens(self, model: Model, space: TokenSpace, count: int) -> dict[str, Any]:
        """Return the known tokens, after BOS, of a masked model, or the tokens that a causal model continues."""
        if self.fill is None or self.strength != 1:
            raise GenloomError("generate.strength_of_tokens")
        ids_L = np.asarray(model.codec.encode(self.value), np.int64)
        can_fill = "known_ids" in list_inputs(model)
        begin, end = self._resolve_fill(len(ids_L), can_be_empty=not can_fill)
        if not can_fill:
            if end < len(ids_L):
                raise GenloomError("generate.fill_needs_masked", objective=model.design.objective)
            if space.grid:
                raise GenloomError("generate.no_edit_support", objective=model.design.objective)
            return {"prompt_ids": (np.concatenate([[space.bos], ids_L[:begin]]),) * count}
        known_ids = np.concatenate([[space.bos], ids_L, [space.eos] * (not space.grid)])
        if len(known_ids) > space.context_length:
            raise GenloomError("generate.source_too_long", num_tokens=len(ids_L), maximum=space.context_length - 2)
        known_ids[1 + begin : 1 + end] = -1
        return {"known_ids": np.tile(known_ids, (count, 1))}

    def _resolve_fill(self, length: int, can_be_empty: bool = False) -> tuple[int, int]:
        assert self.fill is not None
        begin, end = (round(share * length) for share in self.fill)
        if begin >= end and not can_be_empty:
            raise GenloomError("generate.empty_fill", begin=self.fill[0], end=self.fill[1])
        return begin, end

    def pack(self, medium: Any, save_blob: SaveBlob) -> dict[str, Any]:
        record = {"source": save_blob(medium.encode(self.value), medium.suffixes[0]), "strength": self.strength}
        record |= self.file.pack(save_blob) if self.file else {}
        return record if self.fill is None else {**record, "fill": list(self.fill)}


def build_edit(options: EditOptions, model: Model) -> SourceEdit:
    """Return the opened source with what to change of it; raise ValueError if the options contradict each other."""
    check_edit_options(options)
    if options.source is None:
        raise GenloomError("generate.edit_without_source", option="source")
    if options.fill is None and options.strength is None:
        raise GenloomError("generate.source_without_edit")
    value = open_limited(plugins.find_part("medium", model.design.medium).open, options.source).value
    fill = None if options.fill is None else parse_fill(options.fill)
    strength = 1.0 if options.strength is None else options.strength
    return SourceEdit(value, fill, strength, read_source_file(options.source))


def parse_fill(text: str) -> tuple[float, float]:
    """Return the begin and end of "FROM:TO" as shares; a missing one is 0 or 1."""
    begin, colon, end = text.partition(":")
    try:
        shares = float(begin or 0), float(end or 1)
    except ValueError:
        shares = -1.0, -1.0
    if not colon or not 0 <= shares[0] <= shares[1] <= 1:
        raise GenloomError("generate.bad_fill", value=text)
    return shares


def unpack_edit(record: Mapping[str, Any], medium: Any, load_blob: LoadBlob) -> SourceEdit | BlankEdit:
    """Return the edit of a record; raise ValueError if its source is missing or was changed."""
    if (blanks := unpack_blanks(record, load_blob)) is not None:
        return blanks
    fill = record.get("fill")
    value = medium.decode(load_blob(str(record["source"])))
    return SourceEdit(value, fill and (float(fill[0]), float(fill[1])), float(record["strength"]))
