"""Melodies as tokens, one a note; a model ends them where it likes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genloom.types import Space, TokenSpace
from genloom_beeps import MAX_NOTES, NUM_PITCHES, Melody


@dataclass(frozen=True)
class Config:
    """No settings."""


class Codec:
    """Subclasses encode to signals."""

    @classmethod
    def fit(cls, items: Iterable[Melody], config: Config) -> "Codec":
        return cls()

    @property
    def space(self) -> Space:
        return TokenSpace(NUM_PITCHES + 1, 0, bos=NUM_PITCHES, eos=NUM_PITCHES)

    def encode(self, value: Melody) -> np.ndarray:
        return np.array(value, np.int64)

    def encode_many(self, values: Iterable[Melody]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Melody:
        return tuple(int(note) for note in x if 0 <= note < NUM_PITCHES)[:MAX_NOTES]

    def decode_many(self, x: Iterable[np.ndarray]) -> list[Melody]:
        return [self.decode(row) for row in x]

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        return cls()
