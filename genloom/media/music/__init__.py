"""The medium music: scores from MIDI, MusicXML, ABC and Humdrum files, saved as these, as sound and as pictures."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.music import midi
from genloom.media.music.score import DRUMS, TICKS_PER_QUARTER, Score, build_clock
from genloom.media.music.style_features import extract_style_features as extract_style_features
from genloom.media.saving import write_file
from genloom.settings import explain_unreadable_file
from genloom.text_format import format_count
from genloom.types import DefaultRecipe, Display, Item

kind: str = "music"
plural: str = "tunes"
unit: str = "note"
max_tokens: int = 1000
suggested_params: Mapping[str, Any] = {"guidance_scale": 1.0}  # the header says what a tune is; see docs/log/music.md

suffixes: tuple[str, ...] = (".mid", ".midi", ".kar", ".rmi", ".musicxml", ".mxl", ".xml", ".abc", ".krn")

default_recipes: tuple[DefaultRecipe, ...] = (
    DefaultRecipe(
        ("autoregressive",),
        "transformer",
        ("notes",),
        batch_size=16,
        context_length=1024,
        text_encoder="minilm",
        settings={"plan": {"grad_accum_steps": 4}},  # rows of about one length are read together, with little padding
    ),
)

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
NOTATION_SUFFIXES = (".musicxml", ".mxl", ".xml", ".abc", ".krn")
SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
save_suffixes = (".mid", ".musicxml", ".abc", *SOUND_SUFFIXES, ".svg", ".png")
_WRITTEN_SUFFIXES = frozenset((*save_suffixes, *MIDI_SUFFIXES, ".mxl", ".xml"))
_SOUND_STARTS = (b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")  # of recordings
MAX_BYTES = 32 << 20


def open(path: Path) -> Item:
    """Return the first piece in a file as an Item with a Score; `meta` has its `title` and the `repairs` in words."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        score, repairs = read(data, path.suffix.lower())[0]
    except OSError as error:
        raise GenloomError("media.unreadable_file", path=path, reason=explain_unreadable_file(error)) from error
    except ValueError as error:
        raise GenloomError("media.unreadable", path=path, reason=error) from error
    return Item(score, str(path), meta={"title": score.title, "repairs": str(repairs)})


def read(data: bytes, suffix: str, problems: list[str] | None = None) -> list[tuple[Score, midi.Repairs]]:
    """Return the pieces in the bytes of a file; GenloomError if there are none, or it is too large.

    Why one of several pieces cannot be read is added to `problems`.
    """
    if data.startswith(_SOUND_STARTS) or data[8:12] in (b"WAVE", b"AIFF", b"AIFC") or data[4:11] == b"ftypM4A":
        raise GenloomError("music.sound_file", suffixes=" ".join(suffixes))
    if len(data) > MAX_BYTES:
        raise GenloomError("music.file_too_large", limit=MAX_BYTES >> 20)
    if suffix in NOTATION_SUFFIXES and not data.startswith(b"MThd"):
        from genloom.media.music.notation import read_notation

        return list(read_notation(data, suffix, [] if problems is None else problems))
    if suffix not in MIDI_SUFFIXES and data[:4] not in (b"MThd", b"RIFF"):
        raise GenloomError("music.not_a_tune", suffixes=" ".join(suffixes))
    return [midi.read_midi(data)]


def save(item: Item, path: Path) -> None:
    """Write the score in the format of the suffix: notation, sound or a picture of it."""
    path = Path(path)
    data = render(item.value, path.suffix.lower())
    write_file(path, lambda file: file.write(data))


def render(score: Score, suffix: str) -> bytes:
    """Return the score as a file of this suffix; GenloomError for another one."""
    require_save_suffix(Path(suffix and f"score{suffix}"))
    if suffix in MIDI_SUFFIXES:
        return midi.write_midi(score)
    if suffix in (".musicxml", ".mxl", ".xml"):
        from genloom.media.music.notation_writing import write_notation

        return write_notation(score, suffix)
    if suffix == ".abc":
        from genloom.media.music.abc import write_abc

        return write_abc(score)
    if suffix in SOUND_SUFFIXES:
        from genloom.media.music import sound

        return sound.render_sound(score, suffix)
    if suffix == ".png":
        from genloom.media.music import roll

        return roll.draw_roll(score)
    from genloom.media.music import engraving

    return engraving.engrave_score(score)


def require_save_suffix(path: Path) -> None:
    """Raise GenloomError for a suffix of no format that scores are saved in."""
    if (suffix := path.suffix.lower()) not in _WRITTEN_SUFFIXES:
        raise GenloomError("music.bad_save_suffix", suffix=suffix or "such")


def preview(item: Item, max_columns: int = 72) -> str:
    """Return the score for a terminal: its facts, and its notes as a piano roll, two semitones a line."""
    score: Score = item.value
    facts = [str(score.key) if score.key else "", str(score.meters[0]), format_count(len(score.bars), "bar")]
    facts += [f"{score.tempos[0].bpm:.0f} quarter notes a minute", format_count(score.num_notes, "note")]
    return "\n".join([", ".join(filter(None, facts)), *draw_lines(score, max_columns)])


def draw_lines(score: Score, max_columns: int) -> list[str]:
    """Return the lines of a piano roll in characters; a column is at least an eighth note."""
    pitches = [note.pitch for part in score.parts for note in part.notes]
    if not pitches:
        return []
    low, high = min(pitches) // 2 * 2, max(pitches)
    step = max(TICKS_PER_QUARTER // 2, -(-score.end // max_columns))
    cells = np.zeros(((high - low) // 2 * 2 + 2, -(-score.end // step)), bool)
    for part in score.parts:
        for note in part.notes:
            cells[note.pitch - low, note.onset // step : max(-(-note.end // step), note.onset // step + 1)] = True
    marks = " ▄▀█"
    return [
        "".join(marks[int(lower) + 2 * int(upper)] for lower, upper in zip(cells[row], cells[row + 1], strict=True))
        for row in range(len(cells) - 2, -1, -2)
    ]


def check(item: Item) -> list[str]:
    """List the problems of a score; an empty list if there are none."""
    score: Score = item.value
    problems = []
    if score.num_notes < 4:
        problems.append(f"it has only {format_count(score.num_notes, 'note')}")
    pitches = {note.pitch for part in score.parts for note in part.notes if part.program != DRUMS}
    if len(pitches) == 1:
        problems.append("it has one pitch throughout")
    if score.bars and score.num_notes / len(score.bars) < 0.5:
        problems.append("it is silent for most of its bars")
    return problems


def count_units(value: Score) -> int:
    """Return the number of notes."""
    return value.num_notes


def cut(value: Score, max_units: int) -> Score:
    """Return the first bars, of at most about `max_units` notes; at least one bar."""
    onsets = np.sort([note.onset for part in value.parts for note in part.notes])
    if len(onsets) <= max_units:
        return value
    num_bars = sum(onset <= onsets[max_units] for onset, _ in value.bars) - 1
    return value.cut(0, max(num_bars, 1))


def split(value: Score, count: int) -> Sequence[Score]:
    """Return at most `count` passages of whole bars, about equally long; a note belongs to the bar it begins in."""
    return [value.cut(*edges, has_held=False) for edges in find_passages(value, count)]


def find_passages(value: Score, count: int) -> list[tuple[int, int]]:
    """Return the first and the last bar, which is excluded, of passages of about equal length."""
    num_bars = len(value.bars)
    edges = np.linspace(0, num_bars, max(min(count, num_bars), 1) + 1).round().astype(int).tolist()
    return list(pairwise(edges))


def describe(value: Score) -> Mapping[str, float]:
    return {"notes": float(value.num_notes), "bars": float(len(value.bars)), "seconds": measure_seconds(value)}


def measure_seconds(score: Score) -> float:
    """Return how long the score lasts in its tempos."""
    return build_clock(score.tempos)(score.end)


def show(value: Score) -> Display:
    """Return the score as a picture of its piano roll, and in characters."""
    return Display("image/png", render(value, ".png"), preview(Item(value)))


def render_sound(value: Score) -> Display:
    """Return the sound of the score; GenloomError if it lasts too long."""
    return Display("audio/ogg", render(value, ".ogg"), "")


def sheet(values: Sequence[Score], captions: Sequence[str] = ()) -> Display:
    """Return the piano rolls one below the other."""
    from genloom.media.music import roll

    captions = captions or [""] * len(values)
    text = "\n\n".join(
        f"{caption}\n{preview(Item(value))}".lstrip() for value, caption in zip(values, captions, strict=True)
    )
    return Display("image/png", roll.draw_rolls(values, captions), text)


def encode(value: Score) -> bytes:
    """Return the score as MIDI, the same bytes for equal scores."""
    return midi.write_midi(value)


def decode(data: bytes) -> Score:
    """Return the score in a MIDI file; ValueError if it is damaged."""
    return midi.read_midi(data)[0]
