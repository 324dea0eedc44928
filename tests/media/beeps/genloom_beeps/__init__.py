"""The medium beeps: melodies of up to sixteen notes, each of one of four pitches.

A file holds a melody, and what it was made for: {"notes": [0, 2, 3], "tempo": 1.5, "chords": [...]}.
"""

import json
from pathlib import Path
from typing import Any

from genloom.media.saving import write_file
from genloom.types import DefaultRecipe, Item

kind: str = "beeps"
suffixes: tuple[str, ...] = (".beep",)
plural: str = "melodies"
unit: str = "note"
default_recipes: tuple[DefaultRecipe, ...] = (
    DefaultRecipe(("autoregressive", "masked"), "transformer", ("beeps",), context_length=18),
    DefaultRecipe((), "dit", ("wave",), batch_size=32, context_length=0),
)

NUM_PITCHES, MAX_NOTES = 4, 16
max_tokens: int = MAX_NOTES
Melody = tuple[int, ...]


def open(path: Path) -> Item:
    """Return the melody in a file, with the rest of its keys as `meta`."""
    path = Path(path)
    try:
        content = read_content(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    return Item(tuple(content.pop("notes")), str(path), meta=content)


def save(item: Item, path: Path) -> None:
    write_file(Path(path), lambda file: file.write(encode(item.value)))


def preview(item: Item) -> str:
    return "".join("▁▃▅▇"[note] for note in item.value)


def check(item: Item) -> list[str]:
    """List the problems of a melody."""
    return [] if len(set(item.value)) > 1 else ["it has one pitch throughout"]


def count_units(value: Melody) -> int:
    return len(value)


def encode(value: Melody) -> bytes:
    return json.dumps({"notes": list(value)}).encode()


def decode(data: bytes) -> Melody:
    return tuple(read_content(data)["notes"])


def read_content(data: bytes) -> dict[str, Any]:
    """Parse a file; ValueError if it holds no melody."""
    content = json.loads(data)
    notes = content.get("notes") if isinstance(content, dict) else None
    is_melody = (
        isinstance(notes, list) and len(notes) <= MAX_NOTES and all(note in range(NUM_PITCHES) for note in notes)
    )
    if not is_melody:
        raise ValueError('a melody is {"notes": [...]} with up to 16 pitches from 0 to 3')
    return content
