"""Scores as tokens: a header of controls, then bar by bar and voice by voice what begins where in the bar.

    key mode meter tempo style density begins ends instrument… | known cells | FILL | cells to generate

A cell is a voice in a bar (notes_scores.py); BAR tells how many bars are left. Pitches are stored as if the tonic were
C: a piece in any key is learned in all of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from genloom.capabilities import TokenConstraint, TokenContextReader
from genloom.codecs.codec_json import damaged_error, read_table, write_config
from genloom.codecs.notes_scores import Voice, decode_tokens, encode_cells, list_score_voices, measure_density
from genloom.codecs.notes_tasks import draw_hidden
from genloom.codecs.notes_vocabulary import (
    BLOCKS,
    END,
    FILL,
    HEADER,
    MAX_BARS,
    MAX_VOICES,
    METERS,
    MODE_NAMES,
    SAME,
    VOCAB_SIZE,
    Cell,
    find_meter,
    find_tempo,
    to_token,
)
from genloom.errors import format_message
from genloom.media.music.controls import list_unread_words, read_words
from genloom.media.music.excerpts import draw_excerpt
from genloom.media.music.score import Score, correlate_keys
from genloom.types import TokenSpace

MAX_GUESSED_KEYS = 2  # in which the marks of a score are read
MIN_METER_SHARE = 0.02  # of a style's pieces that have a meter, if it is not rare


@dataclass(frozen=True)
class Config:
    """Context length of the models that read this codec."""

    context_length: int = 1024


@dataclass(frozen=True)
class StoredConfig:
    """The configuration in the folder of a codec."""

    styles: tuple[str, ...]
    context_length: int
    max_voices: tuple[int, ...]
    meters: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Codec:
    """The styles of its data, by the number of their token, with what is usual in them; and the context length."""

    styles: tuple[str, ...] = ()
    config: Config = field(default_factory=Config)
    max_voices: tuple[int, ...] = ()  # of most pieces of each style; (): unknown
    meters: tuple[tuple[int, ...], ...] = ()  # of each style, without rare ones; (): unknown

    @classmethod
    def fit(cls, items: Iterable[Score], config: Config) -> "Codec":
        voices: dict[str, list[int]] = {}
        meters: dict[str, Counter[int]] = {}
        for score in items:
            voices.setdefault(score.style, []).append(len(list_score_voices(score)))
            meters.setdefault(score.style, Counter())[find_meter(score.meters[0])] += 1
        styles = sorted((style for style in voices if style), key=lambda style: (-len(voices[style]), style))
        styles = styles[: BLOCKS["style"] - 1]
        usual = [
            tuple(
                sorted(meter for meter, count in meters[style].items() if count >= MIN_METER_SHARE * len(voices[style]))
            )
            for style in styles
        ]
        max_voices = tuple(int(np.quantile(voices[style], 0.9)) for style in styles)
        return cls(tuple(styles), config, max_voices, tuple(usual))

    @property
    def space(self) -> TokenSpace:
        return TokenSpace(VOCAB_SIZE, self.config.context_length, bos=END, eos=END)

    @cached_property
    def style_ids(self) -> dict[str, int]:
        return {style: index for index, style in enumerate(self.styles, start=1)}

    def encode(self, value: Score) -> np.ndarray:
        """Return the tokens of a score of up to 64 bars; bars and voices beyond are left out."""
        return self.encode_task(value, frozenset())

    def encode_many(self, values: Iterable[Score]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def encode_task(self, score: Score, known: frozenset[Cell]) -> np.ndarray:
        """Return the tokens of a score whose `known` cells stand before FILL, the others after it."""
        voices, bars = list_score_voices(score), score.bars[:MAX_BARS]
        cells = [(bar, voice) for bar in range(len(bars)) for voice in range(len(voices))]
        todo = [cell for cell in cells if cell not in known]
        given = [cell for cell in cells if cell in known]
        content = encode_cells(score, voices, bars)
        tokens = [*self.encode_header(score, voices), *self._join(given, content, len(bars)), FILL]
        return np.array(tokens + self._join(todo, content, len(bars)), np.int64)

    def encode_header(self, score: Score, voices: Sequence[Voice]) -> list[int]:
        key, tempo = score.key, score.tempos[0].bpm
        values = {
            "key": 12 if key is None else key.tonic,
            "mode": MODE_NAMES.index("" if key is None else key.mode),
            "meter": find_meter(score.meters[0]),
            "tempo": find_tempo(tempo),
            "style": self.style_ids.get(score.style, 0),
            "density": measure_density(score),
            "begins": int(score.begins),
            "ends": int(score.ends),
        }
        instruments = [SAME if voice.continues else to_token("instrument", voice.program) for voice in voices]
        return [to_token(name, values[name]) for name in HEADER] + instruments

    def _join(self, cells: Sequence[Cell], content: dict[Cell, list[int]], num_bars: int) -> list[int]:
        tokens, last_bar = [], -1
        for bar, voice in cells:
            if bar != last_bar:
                tokens += [to_token("bar", num_bars - 1 - bar), *content[bar, -1]]
                last_bar = bar
            tokens += [to_token("part", voice), *content[bar, voice]]
        return tokens

    def encode_variants(self, value: Score, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the tokens for training and where they count in the loss: the score, an excerpt, tasks of filling.

        An excerpt is some whole phrases, so that models learn short pieces too. A task hides a range of bars, some
        voices, the end, or random cells of the score or the excerpt.
        """
        excerpt = draw_excerpt(value, rng)
        scores = [value] if excerpt is None else [value, excerpt]
        plain = [self.encode(score) for score in scores]
        tasks = [task for score in (value, scores[-1]) if (task := self.draw_task(score, rng)) is not None]
        return [
            *((ids, np.ones(len(ids), bool)) for ids in plain),
            *((ids, np.arange(len(ids)) > int(np.flatnonzero(ids == FILL)[0])) for ids in tasks),
        ]

    def draw_task(self, score: Score, rng: np.random.Generator) -> np.ndarray | None:
        """Return the tokens of a task of filling; None for a score of one cell."""
        voices, num_bars = len(list_score_voices(score)), len(score.bars[:MAX_BARS])
        if voices * num_bars < 2:
            return None
        hidden = draw_hidden(num_bars, voices, rng)
        return self.encode_task(
            score, frozenset((b, v) for b in range(num_bars) for v in range(voices) if not hidden[b, v])
        )

    def decode(self, x: Sequence[int] | np.ndarray) -> Score:
        """Return the score of any tokens; those that do not fit are ignored."""
        return decode_tokens([int(token) for token in x], self.styles)

    def decode_many(self, x: Iterable[Sequence[int] | np.ndarray]) -> list[Score]:
        return [self.decode(row) for row in x]

    def build_constraint(self, prompts: Sequence[str], max_length: int) -> TokenConstraint:
        """Return the tokens that make a valid score, with what the words of each prompt ask for."""
        from genloom.codecs.notes_grammar import NEW_PIECE_RULES, NotesConstraint

        controls = [read_words(prompt) for prompt in prompts]
        unread = [list_unread_words(prompt) for prompt in prompts]
        return NotesConstraint(controls, self, NEW_PIECE_RULES, max_length=max_length, unread=unread)

    def read_token_contexts(self) -> TokenContextReader:
        """Return a reader of the contexts of marks, which a transposition and a MIDI file keep."""
        from genloom.codecs.notes_marks import NotesContexts

        return NotesContexts()

    def list_encodings(self, value: Score) -> list[np.ndarray]:
        """Return the tokens of a score in its key, and in those that its pitches suggest: files get keys wrong.

        These are the two that fit best, often a key and its relative, which have the same notes.
        """
        fits = correlate_keys(value)
        keys = dict.fromkeys((value.key, *sorted(fits, key=lambda key: -fits[key])[:MAX_GUESSED_KEYS]))
        return [self.encode(replace(value, key=key)) for key in keys]

    def save(self, folder: Path) -> None:
        write_config(
            folder, "notes", StoredConfig(self.styles, self.config.context_length, self.max_voices, self.meters)
        )

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        path = folder / "codec.json"
        content = read_table(path, "notes")
        content = {"max_voices": [], "meters": [], **content}
        names = ("styles", "context_length", "max_voices", "meters")
        styles, length, voices, meters = (content.get(name) for name in names)
        is_valid = (
            set(content) == {*names}
            and isinstance(styles, list)
            and isinstance(voices, list)
            and len(voices) in (0, len(styles))
            and all(type(count) is int and 1 <= count <= MAX_VOICES for count in voices)
            and isinstance(meters, list)
            and len(meters) in (0, len(styles))
            and all(isinstance(usual, list) and usual for usual in meters)
            and all(type(meter) is int and 0 <= meter < len(METERS) for usual in meters for meter in usual)
            and len(styles) < BLOCKS["style"]
            and all(isinstance(style, str) and len(style) <= 80 for style in styles)
            and type(length) is int
            and 2 <= length <= 1 << 16
        )
        if not is_valid:
            raise damaged_error(path, format_message("codecs.wrong_codec_keys", keys="codec, styles, context_length"))
        return cls(tuple(styles), Config(length), tuple(voices), tuple(map(tuple, meters)))
