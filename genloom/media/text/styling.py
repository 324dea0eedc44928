"""What anybody sees of a text at a glance: how long it is, how it is laid out, and what marks it is full of."""

import re

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+")
_POINT = re.compile(r"\s*(?:[-*•–]|\d+[.)])\s+\S")  # how a line of a list begins
_MARKS = (",，、", "!！", "?？", "\"“”„«»'‘", "([（", ":;：；", "*#`_", "0123456789")


def style(text: str) -> NDArray[np.float64]:
    """Numbers of a text, all of the same order: logarithms of counts, and shares."""
    words, lines = _WORD.findall(text), [line for line in text.splitlines() if line.strip()]
    sentences = [part for part in _END.split(text) if part.strip()]
    points = sum(bool(_POINT.match(line)) for line in lines)
    each = [len(words) / max(len(sentences), 1), len(words) / max(len(lines), 1)]
    counts = [len(text), len(words), len(sentences), len(lines), points, *each]
    of_words, of_text = max(len(words), 1), max(len(text), 1)
    shares = [
        points / max(len(lines), 1),
        sum(map(len, words)) / of_words / 10,
        len({word.lower() for word in words}) / of_words,
        sum(letter.isupper() for letter in text) / of_text,
        float(bool(re.search(r"[.!?…。！？][\"”’»')\]]*\s*$", text))),
        *(sum(map(text.count, marks)) / of_words for marks in _MARKS),
    ]
    return np.array([*np.log1p(counts), *shares])
