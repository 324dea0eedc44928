"""Editing of sounds: filling a gap, continuing, and variations of a source."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genloom import plugins
from genloom.capabilities import AutoencoderCodec
from genloom.codecs import mel, waveform
from genloom.errors import GenloomError
from genloom.generate.audio.window import open_window
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
from genloom.media.audio.sound import Sound
from genloom.media.opening import open_limited
from genloom.model import Model
from genloom.settings import option
from genloom.types import SignalSpace

if TYPE_CHECKING:
    from genloom.generate.engine import Request

TASKS = ("fill", "continue_", "vary")
MAX_ADDED_SECONDS = 600.0


@dataclass(frozen=True)
class EditOptions:
    """The source of an edit, and what is made of it."""

    source: Path | None = option(None, "Sound to start from.")
    fill: str | None = option(None, "Seconds to rewrite, FROM-TO: 1.2-1.8.")
    continue_: float | None = option(
        None,
        "Seconds to add.",
        is_valid=lambda value: 0 < value <= MAX_ADDED_SECONDS,
        requirement=f"above 0, at most {MAX_ADDED_SECONDS:.0f}",
    )
    vary: float | None = share_option("Strength of the change.")


@dataclass(frozen=True, eq=False)
class SoundEdit:
    """A source, and its gap, the seconds that are added, or how much all of it changes."""

    source: Sound
    gap: tuple[float, float] | None = None  # seconds
    added: float = 0.0  # seconds
    strength: float = 1.0
    file: SourceFile | None = None  # that the sound comes from, if it is signed

    def prepare(self, model: Model, request: "Request") -> SamplerStart:
        codec: Any = model.codec
        if not isinstance(codec.space, SignalSpace) or "init_values" not in list_inputs(model):
            raise GenloomError("generate.no_edit_support", objective=model.design.objective)
        max_seconds = find_sound_codec(codec).max_seconds
        if self.gap is None and not self.added:
            if self.source.seconds > max_seconds + 1e-6:
                raise GenloomError(
                    "audio.source_too_long", seconds=round(self.source.seconds, 2), maximum=round(max_seconds, 2)
                )
            values = torch.from_numpy(codec.encode(self.source)).float()
            return SamplerStart({"init_values": values, "strength": self.strength})
        window = open_window(self.source, self.gap, self.added, max_seconds)
        values = torch.from_numpy(codec.encode(window.extract())).float()
        num_cells = codec.space.size[0]
        first, end = window.find_cells(num_cells)
        mask = torch.zeros(num_cells, dtype=torch.bool)
        mask[first:end] = True
        length = values.shape[1]  # shorter than all cells where the canvas is
        return SamplerStart({"known_values": values, "mask": mask[:length]}, window.restore)

    def pack(self, medium: Any, save_blob: SaveBlob) -> dict[str, Any]:
        record: dict[str, Any] = {"source": save_blob(medium.encode(self.source), medium.suffixes[0])}
        record |= self.file.pack(save_blob) if self.file else {}
        if self.gap is not None:
            record["gap"] = list(self.gap)
        return {**record, "added": self.added, "strength": self.strength}


def find_sound_codec(codec: Any) -> waveform.Codec | mel.Codec:
    """Return the codec of frames of sounds that a codec is, or is made of; GenloomError for another one."""
    inner = codec.autoencoder.inner_codec if isinstance(codec, AutoencoderCodec) else codec
    if not isinstance(inner, waveform.Codec | mel.Codec):
        raise GenloomError("generate.no_edit_support", objective=type(inner).__module__.rpartition(".")[2])
    return inner


def build_edit(options: EditOptions, model: Model) -> SoundEdit:
    """Return the opened source with what to make of it; GenloomError if the options contradict each other."""
    check_edit_options(options)
    given = [name for name in TASKS if getattr(options, name) is not None]
    if options.source is None:
        raise GenloomError("generate.edit_without_source", option="source")
    if len(given) != 1:
        raise GenloomError("audio.tasks_of_source", count=len(given))
    source: Sound = open_limited(plugins.find_part("medium", model.design.medium).open, options.source).value
    gap = None if options.fill is None else parse_gap(options.fill, source.seconds)
    return SoundEdit(source, gap, options.continue_ or 0.0, options.vary or 1.0, read_source_file(options.source))


def parse_gap(text: str, seconds: float) -> tuple[float, float]:
    """Return the begin and end of "FROM-TO" in seconds; GenloomError if they are not in the source."""
    begin, dash, end = text.partition("-")
    try:
        gap = float(begin), float(end)
    except ValueError:
        gap = -1.0, -1.0
    if not dash or not 0 <= gap[0] < gap[1] <= seconds + 1e-3 or not np.isfinite(gap).all():
        raise GenloomError("audio.bad_gap", value=text, maximum=round(seconds, 2))
    return gap[0], min(gap[1], seconds)


def unpack_edit(record: Mapping[str, Any], medium: Any, load_blob: LoadBlob) -> SoundEdit:
    """Return the edit of a record; ValueError if its source is missing or was changed."""
    gap = record.get("gap")
    return SoundEdit(
        medium.decode(load_blob(str(record["source"]))),
        gap and (float(gap[0]), float(gap[1])),
        float(record.get("added", 0)),
        float(record["strength"]),
    )
