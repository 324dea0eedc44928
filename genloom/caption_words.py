"""The words of the captions that a model learned from, so that a prompt with others can be said to have them."""

import re
from collections.abc import Iterable, Sequence

WORD = re.compile(r"[^\W\d_]{3,}")
MAX_WORDS = 20_000  # more say little about what is missing
SUFFIXES = ("ing", "es", "ed", "s", "e")


def list_caption_words(captions: Iterable[str]) -> list[str]:
    """Return the different words of captions, in order; [] if there are too many."""
    words: set[str] = set()
    for caption in captions:
        words.update(WORD.findall(caption.casefold()))
        if len(words) > MAX_WORDS:
            return []
    return sorted(words)


def find_unknown_words(prompt: str, known: Sequence[str]) -> list[str]:
    """Return the words of a prompt that no caption has in any form; [] where the words are not known."""
    if not known:
        return []
    stems = {strip_suffix(word) for word in known}
    words = dict.fromkeys(WORD.findall(prompt.casefold()))
    return [word for word in words if word not in known and strip_suffix(word) not in stems]


def strip_suffix(word: str) -> str:
    """Return a word without the ending of a plural or a verb: "riding" and "rides" are "rid"."""
    suffix = next((each for each in SUFFIXES if word.endswith(each) and len(word) - len(each) >= 3), "")
    return word.removesuffix(suffix)
