"""Style features of a text: length, layout and punctuation."""

import re

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+")
_POINT = re.compile(r"\s*(?:[-*•–]|\d+[.)])\s+\S")  # the beginning of a list item
_MARKS = (",，、", "!！", "?？", "\"“”„«»'‘", "([（", ":;：；", "*#`_", "0123456789")


def extract_style_features(text: str) -> NDArray[np.float64]:
    """Return features of similar scale: logarithms of counts, and shares."""
    words, lines = _WORD.findall(text), [line for line in text.splitlines() if line.strip()]
    sentences = [part for part in _END.split(text) if part.strip()]
    num_list_items = sum(bool(_POINT.match(line)) for line in lines)
    mean_counts = [len(words) / max(len(sentences), 1), len(words) / max(len(lines), 1)]
    counts = [len(text), len(words), len(sentences), len(lines), num_list_items, *mean_counts]
    num_words, num_chars = max(len(words), 1), max(len(text), 1)
    shares = [
        num_list_items / max(len(lines), 1),
        sum(map(len, words)) / num_words / 10,
        len({word.lower() for word in words}) / num_words,
        sum(letter.isupper() for letter in text) / num_chars,
        float(bool(re.search(r"[.!?…。！？][\"”’»')\]]*\s*$", text))),
        *(sum(map(text.count, marks)) / num_words for marks in _MARKS),
    ]
    return np.array([*np.log1p(counts), *shares])
