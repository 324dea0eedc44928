"""Editing of music: controls as options, and continuing, filling, varying, harmonising a source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from genloom import plugins
from genloom.codecs.notes import Codec
from genloom.codecs.notes_grammar import MIN_TYPICAL_TOKENS, NotesConstraint, Rules
from genloom.codecs.notes_scores import encode_cells, list_score_voices, measure_density
from genloom.codecs.notes_vocabulary import FILL, HEADER, MAX_BARS, METERS, Cell, to_token
from genloom.errors import GenloomError
from genloom.generate.editing import LoadBlob, SamplerStart, SaveBlob, check_edit_options, list_inputs, share_option
from genloom.generate.engine import Request, get_default_max_tokens
from genloom.generate.music.window import MIN_CONTEXT_BARS, Task, Window, list_cells, open_window, restore_source
from genloom.media.music.controls import (
    Controls,
    list_unread_words,
    merge_controls,
    pack_controls,
    parse_instruments,
    read_key,
    read_words,
    unpack_controls,
)
from genloom.media.music.midi import round_bpm
from genloom.media.music.score import Score, Tempo, find_key
from genloom.media.opening import open_limited
from genloom.model import Model
from genloom.settings import option
from genloom.text_format import format_count

WINDOW_BARS = (16, 12, 8, 4)  # of a source that are read, with the bars to generate; the first number that fits
MAX_ADDED_BARS = MAX_BARS - MIN_CONTEXT_BARS
TASKS = ("continue_", "fill", "vary", "harmonise", "accompany")


@dataclass(frozen=True)
class EditOptions:
    """Rules for the tune, and the source to start from."""

    bars: int | None = option(None, "Number of bars to generate.", minimum=1, maximum=MAX_BARS)
    key: str | None = option(None, 'Key: "D minor", "Bb", "E dorian".')
    meter: str | None = option(None, "Meter, such as 3/4.")
    tempo: float | None = option(None, "Tempo in quarter notes a minute.", minimum=20, maximum=300)
    instruments: str | None = option(None, 'Instruments from the highest part: "two flutes".')
    in_key: bool | None = option(None, "Whether only notes of the scale are generated.")
    no_crossing: bool | None = option(
        None, "Whether every voice stays below the one above it; by default, in new pieces and voices."
    )
    no_parallels: bool | None = option(
        None, "Whether parallel fifths and octaves are avoided; by default, in new pieces and voices."
    )
    source: Path | None = option(None, "Tune, for one of the tasks.")
    continue_: int | None = option(None, "Bars to add.", minimum=1, maximum=MAX_ADDED_BARS)
    fill: str | None = option(None, "Bars to rewrite: 5-8.")
    vary: float | None = share_option("Share of the voices' bars.")
    harmonise: int | None = option(None, "Voices to add below the source.", minimum=1, maximum=8)
    accompany: str | None = option(None, 'Instruments to add below the source: "cello".')


@dataclass(frozen=True, eq=False)
class MusicEdit:
    """Controls and rules, and a task that starts from a source; without a source, everything is generated."""

    controls: Controls  # of the options; the words of a prompt add to them
    in_key: bool = False
    no_crossing: bool = False
    no_parallels: bool = False
    source: Score | None = None
    task: Task = field(default_factory=Task)

    @property
    def needs_start(self) -> bool:
        """Whether there is a source to start from; controls and rules alone are part of the prompt."""
        return self.source is not None

    @property
    def rules(self) -> Rules:
        return Rules(in_key=self.in_key, is_crossing_free=self.no_crossing, is_parallel_free=self.no_parallels)

    def prepare(self, model: Model, request: Request) -> SamplerStart:
        codec, context_length = model.codec, model.design.context_length
        if not isinstance(codec, Codec) or "constraint" not in list_inputs(model):
            raise GenloomError("generate.no_edit_support", objective=model.design.objective)
        asked = [merge_controls(read_words(prompt), self.controls) for prompt in request.prompts]
        unread = [list_unread_words(prompt) for prompt in request.prompts]
        max_tokens = int(request.params.get("max_tokens") or get_default_max_tokens(model))
        if self.source is None:
            max_length = min(max_tokens + 1, context_length)
            constraint = NotesConstraint(asked, codec, self.rules, max_length=max_length, unread=unread)
            for each in constraint.controls:
                if self.controls.bars is not None and each.bars != self.controls.bars:
                    voices = format_count(len(each.programs or (0,)), "voice")
                    raise GenloomError("music.too_many_bars", bars=self.controls.bars, voices=voices, maximum=each.bars)
            return SamplerStart({"constraint": constraint})
        source = self.source
        window, cells, prefixes = self.encode_windows(codec, asked, request.nonces, context_length)
        changes = encode_cells(window.score, (), window.score.bars)
        constraint = NotesConstraint(
            [
                replace(asked[row], key=self.choose_key(asked[row]), meter=None, programs=None, bars=None)
                for row in range(len(asked))
            ],
            codec,
            self.rules,
            cells,
            {bar: tokens for (bar, _), tokens in changes.items() if tokens},
            min(context_length, min(map(len, prefixes)) + max_tokens),
            window.num_bars,
            unread,
        )
        return SamplerStart(
            {"prompt_ids": tuple(prefixes), "constraint": constraint},
            lambda value: restore_source(source, window, self.task, value),
        )

    def encode_windows(
        self, codec: Codec, asked: Sequence[Controls], nonces: Sequence[int], context_length: int
    ) -> tuple[Window, list[tuple[Cell, ...]], list[np.ndarray]]:
        """Return the longest window that fits into the context, and the cells and the tokens before them of each row.

        Raise GenloomError if none fits.
        """
        assert self.source is not None
        num_tokens = 0
        for num_bars in WINDOW_BARS:
            window = open_window(self.source, self.task, num_bars)
            cells = [list_cells(window, self.task, nonce) for nonce in nonces]
            prefixes = [
                encode_prefix(codec, self.set_header(window.score, controls, codec), row, controls.density)
                for controls, row in zip(asked, cells, strict=True)
            ]
            num_tokens = max(
                len(prefix) + MIN_TYPICAL_TOKENS * len(row) + window.num_bars
                for prefix, row in zip(prefixes, cells, strict=True)
            )
            if num_tokens <= context_length:
                return window, cells, prefixes
        raise GenloomError("music.task_too_long", num_tokens=num_tokens, maximum=context_length)

    def choose_key(self, asked: Controls) -> Any:
        """Return the key of an option, else that of the source, of the prompt, or that its notes sound in."""
        assert self.source is not None
        return self.controls.key or self.source.key or asked.key or find_key(self.source)

    def set_header(self, score: Score, asked: Controls, codec: Codec) -> Score:
        """Return a score whose facts are those of its source, those asked for where it has none."""
        style = next((style for style in (score.style, asked.style) if style in codec.style_ids), "")
        return replace(score, key=self.choose_key(asked), style=style)

    def pack(self, medium: Any, save_blob: SaveBlob) -> dict[str, Any]:
        record: dict[str, Any] = {
            "controls": pack_controls(self.controls),
            "in_key": self.in_key,
            "no_crossing": self.no_crossing,
            "no_parallels": self.no_parallels,
        }
        if self.source is not None:
            task = {name: value for name, value in vars(self.task).items() if value}
            record |= {"source": save_blob(medium.encode(self.source), medium.suffixes[0]), "task": task}
        return record


def encode_prefix(codec: Codec, score: Score, cells: Sequence[Cell], density: int | None) -> np.ndarray:
    """Return the tokens before those to generate: BOS, the header and the known cells of the score."""
    voices, hidden = len(list_score_voices(score)), frozenset(cells)
    known = frozenset((b, v) for b in range(len(score.bars)) for v in range(voices) if (b, v) not in hidden)
    ids = codec.encode_task(score, known)
    sounding = replace(score, parts=tuple(part for part in score.parts if part.notes))
    level = measure_density(sounding) if density is None else density
    ids[HEADER.index("density")] = to_token("density", level)
    return np.concatenate([[codec.space.bos], ids[: int(np.flatnonzero(ids == FILL)[0]) + 1]])


def build_edit(options: EditOptions, model: Model) -> MusicEdit:
    """Return the edit that the options ask for; raise ValueError if they contradict each other."""
    check_edit_options(options)
    controls = read_controls(options)
    is_new = options.source is None or options.harmonise is not None or options.accompany is not None
    no_crossing, no_parallels = (
        is_new if choice is None else choice for choice in (options.no_crossing, options.no_parallels)
    )
    edit = MusicEdit(controls, bool(options.in_key), no_crossing, no_parallels)
    given = [name for name in TASKS if getattr(options, name) is not None]
    if options.source is None:
        if given:
            raise GenloomError("music.task_without_source", option=given[0].rstrip("_"))
        return edit
    if len(given) != 1:
        raise GenloomError("music.tasks_of_source", count=len(given))
    if unused := [name for name in ("bars", "meter", "instruments") if getattr(options, name) is not None]:
        raise GenloomError("music.option_of_source", option=unused[0])
    source: Score = open_limited(plugins.find_part("medium", model.design.medium).open, options.source).value
    if controls.bpm is not None:
        source = replace(source, tempos=(Tempo(0, round_bpm(controls.bpm)),))
    return replace(edit, source=source, task=build_task(source, options))


def read_controls(options: EditOptions) -> Controls:
    """Return the controls that the options name; GenloomError for a key, meter or instruments that are not known."""
    key, meter, programs = None, None, None
    if options.key is not None and (key := read_key(options.key)) is None:
        raise GenloomError("music.unknown_key", value=options.key)
    if options.meter is not None:
        meter = read_words(options.meter).meter
        if meter not in METERS:
            raise GenloomError("music.unknown_meter", value=options.meter)
    if options.instruments is not None:
        programs = parse_instruments(options.instruments)
    return Controls(key=key, meter=meter, bpm=options.tempo, programs=programs, bars=options.bars)


def build_task(source: Score, options: EditOptions) -> Task:
    """Return the task of the one option that names it."""
    if options.continue_ is not None:
        return Task(added_bars=options.continue_)
    if options.fill is not None:
        return Task(fill=parse_bars(options.fill, len(source.bars)))
    if options.vary is not None:
        return Task(vary=options.vary)
    if options.harmonise is not None:
        return Task(programs=(source.parts[-1].program,) * options.harmonise)
    assert options.accompany is not None
    return Task(programs=parse_instruments(options.accompany))


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
    edit = MusicEdit(
        unpack_controls(record["controls"]),
        bool(record["in_key"]),
        bool(record["no_crossing"]),
        bool(record.get("no_parallels", False)),
    )
    if "source" not in record:
        return edit
    task = dict(record["task"])
    fill, programs = task.get("fill"), tuple(map(int, task.get("programs", ())))
    return replace(
        edit,
        source=medium.decode(load_blob(str(record["source"]))),
        task=Task(
            int(task.get("added_bars", 0)), fill and (int(fill[0]), int(fill[1])), float(task.get("vary", 0)), programs
        ),
    )
