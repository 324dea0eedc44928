"""Text states without weights: a fixed vector for each word, pseudo-random, for tests and tiny models."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Config:
    width: int = 64
    max_length: int = 24  # words of a prompt at most; what comes after them is not read

    def __post_init__(self) -> None:
        if self.width < 1 or self.max_length < 1:
            raise ValueError(f"words needs a width and a length of 1 or more, got {self.width} and {self.max_length}.")


def build(config: Config) -> "WordHashEncoder":
    return WordHashEncoder(config)


@dataclass(frozen=True)
class WordHashEncoder:
    """Knows a word again, in capitals or not, and nothing of its meaning or its place."""

    config: Config

    @property
    def width(self) -> int:
        return self.config.width

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """(S, width) float32 of root mean square 1 for every text."""
        return [self.encode_text(text) for text in texts]

    def encode_text(self, text: str) -> np.ndarray:
        words = [text[begin:end].lower() for begin, end in self.compute_offsets(text)]
        return np.array([hash_to_vector(word, self.width) for word in words], np.float32).reshape(
            len(words), self.width
        )

    def compute_offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in the text the word of each of its states begins and ends."""
        return [match.span() for match in _WORD.finditer(text)][: self.config.max_length]


def hash_to_vector(word: str, width: int) -> np.ndarray:
    """Equally likely in every direction, and the same for a word on every machine."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    direction = np.random.Generator(np.random.Philox(key=seed)).standard_normal(width)
    return direction / np.sqrt(np.mean(direction**2))
