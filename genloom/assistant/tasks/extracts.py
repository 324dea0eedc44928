"""Extracts: sentences of a text that stand for it, without a generator; the baseline of every summary.

Shape letters: S sentences, D width.
"""

import re
from collections.abc import Sequence

import numpy as np

METHODS = ("lead", "centroid")
_REDUNDANT = 0.85  # likeness of two sentences of which a centroid extract keeps one
MAX_COMPARED = 2000  # sentences that are embedded for a centroid


def extract_lead(sentences: Sequence[str], count: int) -> list[str]:
    """Return the first sentences of a text."""
    return list(sentences[:count])


def extract_centroid(sentences: Sequence[str], count: int) -> list[str]:
    """Return the sentences nearest to the mean of all by MiniLM, without near repeats, in the order of the text.

    Radev et al. 2004, "Centroid-based summarization of multiple documents", with embeddings for counts of words.
    """
    from genloom.text_encoders.minilm.sentences import embed_texts

    sentences = sentences[:MAX_COMPARED]
    if len(sentences) <= count:
        return list(sentences)
    vectors_SD = embed_texts(sentences)
    centroid_D = vectors_SD.mean(0)
    chosen: list[int] = []
    for index in np.argsort(-(vectors_SD @ centroid_D), kind="stable").tolist():
        if all(vectors_SD[index] @ vectors_SD[other] < _REDUNDANT for other in chosen):
            chosen.append(index)
        if len(chosen) == count:
            break
    return [sentences[index] for index in sorted(chosen)]


def list_words(text: str) -> list[str]:
    """Return the words of a text with three letters or more, and its numbers, in small letters."""
    return [word for word in re.findall(r"\w+", text.casefold()) if len(word) > 2 or word.isdigit()]
