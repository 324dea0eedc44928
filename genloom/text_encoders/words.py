"""A text encoder without weights: a fixed pseudo-random vector for each word, for tests and tiny models."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genloom.errors import GenloomError

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Config:
    width: int = 64
    max_length: int = 24  # words; longer prompts are truncated

    def __post_init__(self) -> None:
        if self.width < 1 or self.max_length < 1:
            raise GenloomError("text_encoders.bad_words_config", width=self.width, length=self.max_length)


def build(config: Config) -> "WordHashEncoder":
    return WordHashEncoder(config)


@dataclass(frozen=True)
class WordHashEncoder:
    """Encodes the identity of words, ignoring case, but neither meaning nor position."""

    config: Config

    @property
    def width(self) -> int:
        return self.config.width

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return (S, width) float32 of root mean square 1 for every text."""
        return [self.encode_text(text) for text in texts]

    def encode_text(self, text: str) -> np.ndarray:
        words = [text[begin:end].lower() for begin, end in self.compute_offsets(text)]
        return np.array([hash_to_vector(word, self.width) for word in words], np.float32).reshape(
            len(words), self.width
        )

    def compute_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return the begin and end in the text of the word of each state."""
        return [match.span() for match in _WORD.finditer(text)][: self.config.max_length]


def hash_to_vector(word: str, width: int) -> np.ndarray:
    """Return a vector in a uniformly random direction, the same for a word on every machine."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    direction = np.random.Generator(np.random.Philox(key=seed)).standard_normal(width)
    return direction / np.sqrt(np.mean(direction**2))
