"""A dictionary from pairs of sentences: IBM model 1, which learns how often each word is translated by which.

Brown et al. 1993, "The mathematics of statistical machine translation". It is the baseline that a translation model
must beat: words in the order of the source.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

NUM_ITERATIONS = 5
MAX_WORDS = 40  # of a sentence that is learned from
MIN_PROBABILITY = 0.05  # of a translation; a word without one is copied
_TOKEN = re.compile(r"\w+(?:'\w*)?|[^\w\s]+|\s+")
NULL = ""  # from which words without a partner come


def list_tokens(text: str) -> list[str]:
    """Return the words and marks of a text in small letters."""
    return [token.casefold() for token in _TOKEN.findall(text) if not token.isspace()]


class Dictionary:
    """The most probable translation of each word."""

    def __init__(self, best: dict[str, str]):
        self.best = best

    def translate_text(self, text: str) -> str:
        """Return the text word by word; blanks, marks and unknown words stay, and so does a capital at the start."""
        parts = []
        for token in _TOKEN.findall(text):
            word = self.best.get(token.casefold(), token)
            parts.append(word[:1].upper() + word[1:] if token[:1].isupper() else word)
        return "".join(parts)


def learn_dictionary(pairs: Sequence[tuple[str, str]], num_iterations: int = NUM_ITERATIONS) -> Dictionary:
    """Learn the probabilities of translations by expectation maximisation, and keep the best of each word."""
    rows = [([NULL, *list_tokens(source)], list_tokens(target)) for source, target in pairs]
    rows = [(source, target) for source, target in rows if target and max(len(source), len(target)) <= MAX_WORDS]
    probabilities: dict[str, dict[str, float]] = {}
    for _ in range(num_iterations):
        counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for source, target in rows:
            for word in target:
                shares = [probabilities[each].get(word, 1e-9) if probabilities else 1.0 for each in source]
                total = sum(shares)
                for each, share in zip(source, shares, strict=True):
                    counts[each][word] += share / total
        probabilities = {}
        for each, by_word in counts.items():
            total = sum(by_word.values())
            # What is hardly ever a translation is dropped: it takes most of the memory.
            probabilities[each] = {word: value / total for word, value in by_word.items() if value / total > 1e-4}
    best = {}
    for each, by_word in probabilities.items():
        if each != NULL and by_word:
            word = max(by_word, key=lambda candidate: by_word[candidate])
            if by_word[word] >= MIN_PROBABILITY:
                best[each] = word
    return Dictionary(best)
