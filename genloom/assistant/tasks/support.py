"""Whether the sentences of a summary are supported by its source, by overlap of words and likeness by MiniLM.

A sentence counts as supported if most of its words, and all of its numbers, stand in one place of the source, or if a
sentence of the source means nearly the same and has its numbers, and if that place does not contradict it by the rules
of `genloom.assistant.knowledge.contradiction`.

Shape letters: S sentences of the source, M sentences of the summary, D width.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from genloom.assistant.knowledge.contradiction import find_contradiction
from genloom.assistant.tasks.extracts import MAX_COMPARED, list_words
from genloom.assistant.tasks.sentences import split_sentences

MIN_OVERLAP = 0.7  # of the words of a sentence, in three sentences of the source that follow each other
MIN_LIKENESS = 0.75  # cosine of MiniLM
_WINDOW = 3
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class SentenceSupport:
    """A sentence of a summary, and the place of the source that supports it best."""

    sentence: str
    source: str  # the sentence of the source that is nearest
    overlap: float  # share of its words that stand in one place
    likeness: float  # cosine with the nearest sentence; -1 if no embedding was made
    is_supported: bool


def measure_support(summary: str, source: str) -> list[SentenceSupport]:
    """Return for each sentence of a summary whether the source supports it."""
    sentences, source_sentences = split_sentences(summary), split_sentences(source)[:MAX_COMPARED]
    if not sentences or not source_sentences:
        return []
    places = [
        " ".join(source_sentences[start : start + _WINDOW])
        for start in range(max(len(source_sentences) - _WINDOW + 1, 1))
    ]
    windows = [set(list_words(place)) for place in places]
    numbers = set(_NUMBER.findall(source))
    likenesses = _compare_sentences(sentences, source_sentences)
    found = []
    for sentence, (likeness, nearest) in zip(sentences, likenesses, strict=True):
        words = set(list_words(sentence))
        counts = [len(words & window) for window in windows]
        overlap = max(counts, default=0) / max(len(words), 1)
        place = places[counts.index(max(counts))] if overlap >= MIN_OVERLAP else source_sentences[nearest]
        has_numbers = set(_NUMBER.findall(sentence)) <= numbers
        is_supported = has_numbers and (overlap >= MIN_OVERLAP or likeness >= MIN_LIKENESS)
        is_supported &= not find_contradiction(sentence, place, title=source)
        found.append(SentenceSupport(sentence, source_sentences[nearest], overlap, likeness, is_supported))
    return found


def compute_support_share(support: Sequence[SentenceSupport]) -> float:
    """Return the share of sentences that are supported; 0 without sentences."""
    return sum(each.is_supported for each in support) / max(len(support), 1)


def _compare_sentences(sentences: Sequence[str], source_sentences: Sequence[str]) -> list[tuple[float, int]]:
    """Return the likeness and the index of the nearest sentence of the source, for each sentence of a summary."""
    from genloom.text_encoders.minilm.sentences import embed_texts

    vectors_MD, sources_SD = embed_texts(sentences), embed_texts(source_sentences)
    likeness_MS = vectors_MD @ sources_SD.T
    nearest_M = likeness_MS.argmax(1)
    return [(float(row[index]), int(index)) for row, index in zip(likeness_MS, nearest_M, strict=True)]
