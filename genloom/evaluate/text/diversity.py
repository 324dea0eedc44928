"""Diversity of text samples: distinct n-grams, repetition within a sample, and overlap between samples."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from genloom.errors import GenloomError

# Words, punctuation marks, and single characters of scripts that do not separate words with spaces.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\w\s]")


@dataclass(frozen=True)
class TextDiversity:
    """Shares from 0 to 1 unless stated otherwise; n-grams are of words, ignoring letter case."""

    count: int  # samples
    distinct_ratios: tuple[float, float, float, float]  # distinct-1 .. distinct-4 over all samples (Li et al. 2016)
    repetition: float  # 4-grams that occurred before in the same sample, mean over samples
    longest_repeat: int  # characters of the longest substring that occurs twice in one sample, overlaps allowed
    longest_loop: int  # words of the longest immediate repetition of one phrase
    cross_overlap: float  # 4-grams that occur in another sample too, mean over samples; the 4-gram part of self-BLEU


def measure_text_diversity(samples: Sequence[str]) -> TextDiversity:
    """Measure samples of any number and length; raises ValueError if there are no samples."""
    if not samples:
        raise GenloomError("evaluate.no_samples")
    words = [_WORD.findall(sample.casefold()) for sample in samples]
    fourgrams = [_build_ngrams(sample, 4) for sample in words]
    return TextDiversity(
        count=len(samples),
        distinct_ratios=(
            _compute_distinct_ratio(words, 1),
            _compute_distinct_ratio(words, 2),
            _compute_distinct_ratio(words, 3),
            _compute_distinct_ratio(words, 4),
        ),
        repetition=_compute_mean([1 - len(set(grams)) / len(grams) for grams in fourgrams if grams]),
        longest_repeat=max(measure_longest_repeat(sample) for sample in samples),
        longest_loop=max(measure_longest_loop(sample) for sample in words),
        cross_overlap=_compute_mean(_compute_shared_ratios(fourgrams)),
    )


def measure_longest_repeat(text: Sequence) -> int:
    """Return the length of the longest substring that occurs at two positions of a text.

    Every part of a repeated substring is repeated, so bisection finds the length: O(n log n) slices of O(n) each.
    """
    low, high = 0, len(text)
    while high - low > 1:
        length = (low + high) // 2
        substrings = [text[i : i + length] for i in range(len(text) - length + 1)]
        if len(set(substrings)) < len(substrings):
            low = length
        else:
            high = length
    return low


def measure_longest_loop(words: Sequence[str], max_phrase_words: int = 32) -> int:
    """Return the words of the longest run of one phrase, of at most `max_phrase_words`, repeated at least twice."""
    longest = 0
    for phrase in range(1, min(max_phrase_words, len(words) // 2) + 1):
        run = 0
        for word, previous_word in zip(words[phrase:], words, strict=False):
            run = run + 1 if word == previous_word else 0
            if run >= phrase:
                longest = max(longest, run + phrase)
    return longest


def _build_ngrams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(size)), strict=False))


def _compute_distinct_ratio(samples: Sequence[Sequence[str]], size: int) -> float:
    grams = [gram for words in samples for gram in _build_ngrams(words, size)]
    return len(set(grams)) / len(grams) if grams else 0.0


def _compute_shared_ratios(samples: Sequence[Sequence[tuple[str, ...]]]) -> list[float]:
    """Return, for each sample that has n-grams, the share of them that another sample has too."""
    sample_counts: dict[tuple[str, ...], int] = {}
    for grams in samples:
        for gram in set(grams):
            sample_counts[gram] = sample_counts.get(gram, 0) + 1
    return [sum(sample_counts[gram] > 1 for gram in grams) / len(grams) for grams in samples if grams]


def _compute_mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
