"""The support of a sentence in sources: the words, numbers and names that they share, and what both mean.

A sentence of an answer is supported if one or two neighbouring sentences of a source have nearly all of its words,
mean about the same, and do not contradict it.

Shape letters: S sentences of an answer, C candidates in the sources, D width.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genloom.assistant.knowledge.contradiction import find_contradiction
from genloom.assistant.knowledge.sentences import list_words, split_sentences

MIN_OVERLAP = 0.6  # share of a sentence's words that its source has, by their rarity; see docs/knowledge.md
MIN_SIMILARITY = 0.5  # cosine of their vectors
MIN_JOINT = 1.25  # overlap and similarity together
_CITATION = re.compile(r"\s*[\[(]\d{1,2}(?:\s*,\s*\d{1,2})*[\])]")

Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Candidate:
    """A sentence of a source, or two neighbouring ones."""

    source: int  # which of the sources
    start: int  # its place in the text of the source
    end: int
    text: str


@dataclass(frozen=True)
class Support:
    """A sentence of an answer and the place in a source that fits it best."""

    text: str
    start: int  # its place in the answer
    end: int
    is_supported: bool
    source: int | None = None  # None: no source shares a word with it
    quote: str = ""
    quote_start: int = 0
    overlap: float = 0.0
    similarity: float = 0.0
    reason: str = ""  # why it is not supported: "words", "meaning", or what `find_contradiction` returns


def list_candidates(sources: Iterable[str]) -> list[Candidate]:
    """Return the sentences of the sources, and each two that follow each other."""
    candidates = []
    for number, text in enumerate(sources):
        spans = list(split_sentences(text))
        for first, (begin, end) in enumerate(spans):
            candidates.append(Candidate(number, begin, end, text[begin:end]))
            if first + 1 < len(spans):
                last = spans[first + 1][1]
                candidates.append(Candidate(number, begin, last, text[begin:last]))
    return candidates


def find_support(answer: str, sources: Sequence[str], embed: Embed, titles: Sequence[str] = ()) -> list[Support]:
    """Return each sentence of an answer with its support; sentences without words are left out.

    `titles` are the headings of the sources, whose words and names the sentences may use, too.
    """
    spans = [(begin, end) for begin, end in split_sentences(answer) if has_words(answer[begin:end])]
    candidates = list_candidates(sources)
    if not spans:
        return []
    sentences = [_CITATION.sub("", answer[begin:end]) for begin, end in spans]
    if not candidates:
        return [Support(answer[begin:end], begin, end, is_supported=False, reason="words") for begin, end in spans]
    vectors_SD, vectors_CD = embed(sentences), embed([candidate.text for candidate in candidates])
    similarities_SC = vectors_SD @ vectors_CD.T
    context = [titles[candidate.source] if titles else "" for candidate in candidates]
    word_sets = [set(list_words(f"{t} {c.text}")) for t, c in zip(context, candidates, strict=True)]
    rarities = _compute_rarities(word_sets)
    return [
        _judge_sentence(
            answer[begin:end], begin, end, sentence, candidates, context, word_sets, rarities, row_C, sources
        )
        for (begin, end), sentence, row_C in zip(spans, sentences, similarities_SC, strict=True)
    ]


def has_words(text: str) -> bool:
    """Return whether a sentence says anything."""
    return any(map(str.isalpha, text))


def _compute_rarities(word_sets: Sequence[set[str]]) -> dict[str, float]:
    counts: dict[str, int] = {}
    for words in word_sets:
        for word in words:
            counts[word] = counts.get(word, 0) + 1
    return {word: float(np.log1p(len(word_sets) / count)) for word, count in counts.items()}


def _judge_sentence(
    text: str,
    begin: int,
    end: int,
    sentence: str,
    candidates: Sequence[Candidate],
    context: Sequence[str],
    word_sets: Sequence[set[str]],
    rarities: Mapping[str, float],
    similarities_C: np.ndarray,
    sources: Sequence[str],
) -> Support:
    """Return a sentence with its best candidate, and whether that supports it."""
    words = set(list_words(sentence))
    unseen = max(rarities.values(), default=1.0)
    weights = {word: rarities.get(word, unseen) for word in words}
    total = sum(weights.values())
    overlaps = np.array([sum(weights[w] for w in words & found) / total if total else 0.0 for found in word_sets])
    best = int(np.argmax(overlaps + similarities_C - 0.001 * np.array([len(c.text) for c in candidates]) / 100))
    candidate, overlap, similarity = candidates[best], float(overlaps[best]), float(similarities_C[best])
    reason = find_contradiction(sentence, candidate.text, context[best], sources[candidate.source])
    if overlap < MIN_OVERLAP:
        reason = "words"
    elif not reason and (similarity < MIN_SIMILARITY or overlap + similarity < MIN_JOINT):
        reason = "meaning"
    return Support(
        text,
        begin,
        end,
        is_supported=not reason,
        source=candidate.source if overlap > 0 else None,
        quote=candidate.text,
        quote_start=candidate.start,
        overlap=overlap,
        similarity=similarity,
        reason=reason,
    )
