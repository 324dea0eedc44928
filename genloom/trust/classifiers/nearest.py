"""Texts that mean about the same as examples, by the sentence embeddings of MiniLM, which come with Genloom.

Each sentence of a text is compared on its own, and the text has the score of the highest. A score is a logistic
function of by how much the nearest examples are nearer than the nearest counterexamples.

Shape letters: N texts, S sentences, E examples, D width.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from genloom.errors import GenloomError
from genloom.settings import option

if TYPE_CHECKING:
    from genloom.text_encoders.minilm import MiniLM

media = ("text",)
NEUTRAL_SIMILARITY = 0.3  # of sentences that have little to do with each other; counts as a counterexample
MAX_SENTENCES, MAX_SENTENCE_CHARS = 400, 400
_NUM_NEAREST = 2  # examples whose similarity is averaged
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")


@dataclass(frozen=True)
class Config:
    examples: tuple[str, ...] = option((), "Texts of the class.")
    counterexamples: tuple[str, ...] = option((), "Texts that look like it and are not of the class.")
    sharpness: float = option(12.0, "Steepness of the score, in units of similarity.", minimum=0.1, maximum=100)

    def __post_init__(self) -> None:
        if not self.examples or not all(text.strip() for text in (*self.examples, *self.counterexamples)):
            raise GenloomError("trust.no_examples", classifier="nearest")


def build(config: Config) -> "NearestExamples":
    return NearestExamples(config)


@dataclass(frozen=True)
class NearestExamples:
    """A classifier of texts by the nearest examples."""

    config: Config

    def __call__(self, values: Sequence[str]) -> np.ndarray:
        """Return the score of each text, N float32; 0 for one without words."""
        sentences = [split_sentences(text) for text in values]
        distinct = list(dict.fromkeys(each for row in sentences for each in row))
        scores = dict(zip(distinct, self._score_sentences(distinct).tolist(), strict=True)) if distinct else {}
        return np.array([max((scores[each] for each in row), default=0.0) for row in sentences], np.float32)

    def _score_sentences(self, sentences: Sequence[str]) -> np.ndarray:
        embeddings_SD = embed_sentences(sentences)
        near_S = _average_nearest(embeddings_SD @ self._examples_ED.T)
        far_S = np.full(len(sentences), NEUTRAL_SIMILARITY)
        if len(self._counterexamples_ED):
            far_S = np.maximum(far_S, _average_nearest(embeddings_SD @ self._counterexamples_ED.T))
        scores_S = 1 / (1 + np.exp(-self.config.sharpness * (near_S - far_S)))
        return np.where(np.abs(embeddings_SD).sum(1) > 0, scores_S, 0.0)

    @cached_property
    def _examples_ED(self) -> np.ndarray:
        return embed_sentences(self.config.examples)

    @cached_property
    def _counterexamples_ED(self) -> np.ndarray:
        return embed_sentences(self.config.counterexamples)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, the longest cut into pieces that the encoder reads whole or nearly so."""
    found: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        starts = range(0, len(sentence), MAX_SENTENCE_CHARS)
        found += [piece for start in starts if (piece := sentence[start : start + MAX_SENTENCE_CHARS].strip())]
        if len(found) >= MAX_SENTENCES:
            break
    return found[:MAX_SENTENCES]


def embed_sentences(sentences: Sequence[str]) -> np.ndarray:
    """Return the embeddings of sentences, S D, of norm 1; zeros for one without words."""
    encoder = _load_encoder()
    rows = [states_LD.mean(0) if len(states_LD) else np.zeros(encoder.width) for states_LD in encoder.encode(sentences)]
    if not rows:
        return np.zeros((0, encoder.width))
    embeddings_SD = np.stack(rows).astype(np.float64)
    return embeddings_SD / np.maximum(np.linalg.norm(embeddings_SD, axis=1, keepdims=True), 1e-9)


@cache
def _load_encoder() -> "MiniLM":
    from genloom.text_encoders import minilm

    return minilm.build(minilm.Config(max_length=minilm.MAX_PIECES))


def _average_nearest(similarities_SE: np.ndarray) -> np.ndarray:
    """Return the mean similarity of each sentence to its nearest examples, S."""
    count = min(_NUM_NEAREST, similarities_SE.shape[1])
    return np.sort(similarities_SE, 1)[:, -count:].mean(1)
