"""The examples most like an input: by words they share (BM25), or by meaning (MiniLM)."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_K1, _B = 1.2, 0.75  # Robertson and Zaragoza 2009
_WORD = re.compile(r"\w+")
_NUM_LETTERS = 3  # of the pieces that words of languages without blanks are compared by


@dataclass(frozen=True)
class WordIndex:
    """Texts as bags of words, ranked by BM25 for a query."""

    bags: tuple[Counter[str], ...]

    @cached_property
    def frequencies(self) -> Counter[str]:
        """How many texts have each word."""
        return Counter(word for bag in self.bags for word in bag)

    @cached_property
    def mean_length(self) -> float:
        return max(sum(bag.total() for bag in self.bags) / max(len(self.bags), 1), 1.0)

    def score(self, query: str) -> list[float]:
        """Return the score of every text for a query."""
        words = set(split_words(query))
        weights = {word: self._weigh(word) for word in words if word in self.frequencies}
        return [sum(weight * self._saturate(bag, word) for word, weight in weights.items()) for bag in self.bags]

    def _weigh(self, word: str) -> float:
        count = self.frequencies[word]
        return math.log(1 + (len(self.bags) - count + 0.5) / (count + 0.5))

    def _saturate(self, bag: Counter[str], word: str) -> float:
        count = bag[word]
        return count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * bag.total() / self.mean_length))


def build_word_index(texts: Sequence[str]) -> WordIndex:
    return WordIndex(tuple(Counter(split_words(text)) for text in texts))


@lru_cache(maxsize=16)
def _cached_word_index(texts: tuple[str, ...]) -> WordIndex:
    return build_word_index(texts)


@lru_cache(maxsize=16)
def _cached_vectors(texts: tuple[str, ...]) -> "np.ndarray":
    from genloom.text_encoders.minilm.sentences import embed_texts

    return embed_texts(list(texts))


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, and the pieces of the long ones."""
    words = _WORD.findall(text.casefold())
    pieces = [
        word[start : start + _NUM_LETTERS]
        for word in words
        if len(word) > 2 * _NUM_LETTERS
        for start in range(len(word) - _NUM_LETTERS + 1)
    ]
    return words + pieces


def rank_texts(query: str, texts: Sequence[str], by_meaning: bool = False) -> list[int]:
    """Return the positions of texts, those most like the query first; equal ones in their order."""
    key = tuple(texts)
    if by_meaning and key:
        from genloom.text_encoders.minilm.sentences import embed_texts

        scores = (_cached_vectors(key) @ embed_texts([query])[0]).tolist()
    else:
        scores = _cached_word_index(key).score(query)
    return sorted(range(len(key)), key=lambda i: (-scores[i], i))
