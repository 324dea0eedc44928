"""How varied written samples are: distinct n-grams, repetition inside a sample, likeness between samples."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Words, single marks, and single characters of the scripts that put no space between words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\w\s]")


@dataclass(frozen=True)
class Variety:
    """Shares between 0 and 1 unless stated; word n-grams, letter case ignored."""

    count: int  # samples
    distinct: tuple[float, float, float, float]  # distinct-1 .. distinct-4 over all samples together (Li et al. 2016)
    repeated: float  # 4-grams that stood in the same sample before, mean over samples
    longest_repeat: int  # characters of the longest stretch that stands twice in one sample, overlaps counted
    longest_loop: int  # words of the longest stretch in which one phrase is said over and over
    alike: float  # 4-grams that another sample holds too, mean over samples; the 4-gram part of self-BLEU


def variety(samples: Sequence[str]) -> Variety:
    """Measures samples of any number and length; raises ValueError where there are none."""
    if not samples:
        raise ValueError("there are no samples to measure; ask for at least one")
    words = [_WORD.findall(sample.casefold()) for sample in samples]
    fours = [_grams(sample, 4) for sample in words]
    return Variety(
        count=len(samples),
        distinct=(_distinct(words, 1), _distinct(words, 2), _distinct(words, 3), _distinct(words, 4)),
        repeated=_mean([1 - len(set(grams)) / len(grams) for grams in fours if grams]),
        longest_repeat=max(longest_repeat(sample) for sample in samples),
        longest_loop=max(longest_loop(sample) for sample in words),
        alike=_mean(_alike(fours)),
    )


def longest_repeat(text: Sequence) -> int:
    """Length of the longest stretch that stands at two places of a text.

    Every part of a repeated stretch is repeated, so the length is found by halving. O(n log n) slices of O(n) each.
    """
    shortest, beyond = 0, len(text)
    while beyond - shortest > 1:
        length = (shortest + beyond) // 2
        stretches = [text[i : i + length] for i in range(len(text) - length + 1)]
        if len(set(stretches)) < len(stretches):
            shortest = length
        else:
            beyond = length
    return shortest


def longest_loop(words: Sequence[str], longest_phrase: int = 32) -> int:
    """Words of the longest stretch made of one phrase of up to `longest_phrase` words said at least twice in a row."""
    longest = 0
    for phrase in range(1, min(longest_phrase, len(words) // 2) + 1):
        run = 0
        for now, before in zip(words[phrase:], words, strict=False):
            run = run + 1 if now == before else 0
            if run >= phrase:
                longest = max(longest, run + phrase)
    return longest


def _grams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(size)), strict=False))


def _distinct(samples: Sequence[Sequence[str]], size: int) -> float:
    grams = [gram for words in samples for gram in _grams(words, size)]
    return len(set(grams)) / len(grams) if grams else 0.0


def _alike(samples: Sequence[Sequence[tuple[str, ...]]]) -> list[float]:
    holders: dict[tuple[str, ...], int] = {}
    for grams in samples:
        for gram in set(grams):
            holders[gram] = holders.get(gram, 0) + 1
    return [sum(holders[gram] > 1 for gram in grams) / len(grams) for grams in samples if grams]


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares) if shares else 0.0
