"""Editing of music: controls as options, and continuing, filling, varying, harmonising a source."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from genloom import plugins
from genloom.codecs.notes import FILL, MAX_BARS, MAX_VOICES, Cell, Codec, list_voices
from genloom.codecs.notes_grammar import NotesConstraint, Rules
from genloom.errors import GenloomError
from genloom.generate.editing import LoadBlob, SamplerStart, SaveBlob, check_edit_options
from genloom.media.music.controls import (
    Controls,
    merge_controls,
    pack_controls,
    read_key,
    read_programs,
    read_words,
    unpack_controls,
)
from genloom.media.music.midi import round_bpm
from genloom.media.music.score import Part, Score, Tempo
from genloom.model import Model
from genloom.settings import option

CONTEXT_BARS = 12  # of a source that are read beside the bars to generate


@dataclass(frozen=True)
class EditOptions:
    """What the tune must be, and what to start from."""

    bars: int | None = option(None, "Number of bars to generate.", minimum=1, maximum=MAX_BARS)
    key: str | None = option(None, 'Key: "D minor", "Bb", "E dorian".')
    meter: str | None = option(None, "Meter, such as 3/4.")
    tempo: float | None = option(None, "Tempo in quarter notes a minute.", minimum=20, maximum=300)
    instruments: str | None = option(None, 'Instruments from the highest part: "flute and two violins".')
    in_key: bool | None = option(None, "Whether only notes of the scale are generated.")
    no_crossing: bool | None = option(None, "Whether every voice stays below the one above it.")
    source: Path | None = option(
        None, "Tune to start from; needs --continue, --fill, --vary, --harmonise or --accompany."
    )
    continue_: int | None = option(None, "Bars to add to the source.", minimum=1, maximum=MAX_BARS)
    fill: str | None = option(None, "Bars of the source to rewrite, FROM-TO, counted from 1: 5-8.")
    vary: float | None = option(
        None,
        "Share of the source's cells (a voice in a bar) to rewrite, above 0 to 1.",
        is_valid=lambda value: 0 < value <= 1,
        requirement="above 0, at most 1",
    )
    harmonise: int | None = option(None, "Voices to add below the source.", minimum=1, maximum=8)
    accompany: str | None = option(None, 'Instruments to add below the source: "piano", "cello and bass".')


@dataclass(frozen=True, eq=False)
class MusicEdit:
    """Controls and rules, and the cells of a source that are generated; without a source, all."""

    controls: Controls
    in_key: bool = False
    no_crossing: bool = False
    source: Score | None = None
    cells: tuple[Cell, ...] = field(default=())  # to generate

    @property
    def rules(self) -> Rules:
        return Rules(in_key=self.in_key, is_crossing_free=self.no_crossing)

    def prepare(self, model: Model, count: int) -> SamplerStart:
        codec = model.codec
        if not isinstance(codec, Codec):
            raise GenloomError("generate.no_edit_support", objective=model.design.objective)
        if self.source is None:
            constraint = NotesConstraint([self.controls] * count, codec.styles, self.rules)
            return SamplerStart({"constraint": constraint})
        prefix = self.encode_prefix(codec)
        if len(prefix) + 16 > model.design.context_length:
            raise GenloomError(
                "generate.source_too_long", num_tokens=len(prefix), maximum=model.design.context_length - 16
            )
        constraint = NotesConstraint([self.controls] * count, codec.styles, self.rules, self.cells, True)
        return SamplerStart({"prompt_ids": (prefix,) * count, "constraint": constraint})

    def encode_prefix(self, codec: Codec) -> np.ndarray:
        """Return the tokens before those to generate: BOS, the header and the known cells of the source."""
        assert self.source is not None
        voices, num_bars = len(list_voices(self.source)), len(self.source.bars)
        hidden = frozenset(self.cells)
        known = frozenset((b, v) for b in range(num_bars) for v in range(voices) if (b, v) not in hidden)
        ids = codec.encode_task(self.source, known)
        return np.concatenate([[codec.space.bos], ids[: int(np.flatnonzero(ids == FILL)[0]) + 1]])

    def pack(self, medium: Any, save_blob: SaveBlob) -> dict[str, Any]:
        record: dict[str, Any] = {
            "controls": pack_controls(self.controls),
            "in_key": self.in_key,
            "no_crossing": self.no_crossing,
        }
        if self.source is not None:
            record |= {
                "source": save_blob(medium.encode(self.source), medium.suffixes[0]),
                "parts": [part.program for part in self.source.parts],
                "bars": len(self.source.bars),
                "cells": [list(cell) for cell in self.cells],
            }
        return record


def build_edit(options: EditOptions, model: Model) -> MusicEdit:
    """Return the edit that the options ask for; raise ValueError if they contradict each other."""
    check_edit_options(options)
    controls = read_controls(options)
    edit = MusicEdit(controls, bool(options.in_key), bool(options.no_crossing))
    given = [
        name for name in ("continue_", "fill", "vary", "harmonise", "accompany") if getattr(options, name) is not None
    ]
    if options.source is None:
        if given:
            raise GenloomError("music.task_without_source", option=given[0].rstrip("_"))
        return edit
    if len(given) != 1:
        raise GenloomError("music.tasks_of_source", count=len(given))
    source = plugins.find_part("medium", model.design.medium).open(options.source).value
    source, cells = plan_task(source, options)
    if not cells:
        raise GenloomError("music.nothing_to_generate", option=given[0].rstrip("_"))
    return replace(edit, source=with_controls(source, controls), cells=cells)


def read_controls(options: EditOptions) -> Controls:
    """Return the controls that the options name; GenloomError for a key, meter or instruments that are not known."""
    key, meter, programs = None, None, None
    if options.key is not None and (key := read_key(options.key)) is None:
        raise GenloomError("music.unknown_key", value=options.key)
    if options.meter is not None:
        meter = read_words(options.meter).meter
        if meter is None:
            raise GenloomError("music.unknown_meter", value=options.meter)
    if options.instruments is not None and not (programs := read_programs(options.instruments.lower())):
        raise GenloomError("music.unknown_instruments", value=options.instruments)
    return Controls(key=key, meter=meter, bpm=options.tempo, programs=programs, bars=options.bars)


def with_controls(source: Score, controls: Controls) -> Score:
    """Return the source with the key and tempo that were asked for in its header."""
    source = replace(source, key=controls.key or source.key)
    return source if controls.bpm is None else replace(source, tempos=(Tempo(0, round_bpm(controls.bpm)),))


def plan_task(source: Score, options: EditOptions) -> tuple[Score, tuple[Cell, ...]]:
    """Return the source, extended by what is added, and the cells to generate."""
    num_bars = len(source.bars)
    if num_bars > MAX_BARS:
        raise GenloomError("music.source_too_long", bars=num_bars, maximum=MAX_BARS)
    voices = len(list_voices(source))
    if options.continue_ is not None:
        source = source.cut(max(num_bars - CONTEXT_BARS, 0), num_bars)
        kept, total = len(source.bars), len(source.bars) + options.continue_
        source = extend(replace(source, ends=True), total)
        return source, tuple((bar, voice) for bar in range(kept, total) for voice in range(voices))
    if options.fill is not None:
        first, last = parse_bars(options.fill, num_bars)
        return source, tuple((bar, voice) for bar in range(first, last) for voice in range(voices))
    if options.vary is not None:
        cells = [(bar, voice) for bar in range(num_bars) for voice in range(voices)]
        chosen = random.Random(0).sample(cells, max(round(options.vary * len(cells)), 1))
        return source, tuple(sorted(chosen))
    if options.accompany is not None:
        added = read_programs(options.accompany.lower())
        if not added:
            raise GenloomError("music.unknown_instruments", value=options.accompany)
    else:
        added = (source.parts[-1].program,) * (options.harmonise or 0)
    if voices + len(added) > MAX_VOICES:
        raise GenloomError("music.too_many_voices", count=voices + len(added), maximum=MAX_VOICES)
    source = replace(source, parts=(*source.parts, *(Part(program, ()) for program in added)))
    new = range(voices, voices + len(added))
    return source, tuple((bar, voice) for bar in range(num_bars) for voice in new)


def extend(source: Score, num_bars: int) -> Score:
    """Return the source with empty bars after its end; its last meter goes on."""
    return replace(source, min_bars=num_bars)


def parse_bars(text: str, num_bars: int) -> tuple[int, int]:
    """Return the bars "5-8", or "5", as a range from 0; GenloomError if they are not in the source."""
    first, _, last = text.partition("-")
    if not (first.strip().isdecimal() and (last or first).strip().isdecimal()):
        raise GenloomError("music.bad_bars", value=text, maximum=num_bars)
    begin, end = int(first) - 1, int(last or first)
    if not 0 <= begin < end <= num_bars:
        raise GenloomError("music.bad_bars", value=text, maximum=num_bars)
    return begin, end


def unpack_edit(record: Mapping[str, Any], medium: Any, load_blob: LoadBlob) -> MusicEdit:
    """Return the edit of a record; raise ValueError if its source is missing or was changed."""
    controls = unpack_controls(record["controls"])
    edit = MusicEdit(controls, bool(record["in_key"]), bool(record["no_crossing"]))
    if "source" not in record:
        return edit
    source: Score = medium.decode(load_blob(str(record["source"])))
    parts = list(source.parts)
    added = [int(program) for program in record["parts"][len(parts) :]]
    source = replace(source, parts=(*parts, *(Part(program, ()) for program in added)), min_bars=int(record["bars"]))
    cells = tuple((int(bar), int(voice)) for bar, voice in record["cells"])
    return replace(edit, source=source, cells=cells)


def describe_request(prompt: str, controls: Controls) -> str:
    """Return in words what a prompt and the options ask for."""
    return merge_controls(read_words(prompt), controls).describe()
