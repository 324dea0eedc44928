"""A cheap sign of how much a text reads like running prose or code, from bounded samples of it."""

import re
import zlib

SAMPLE_CHARS = 1_000  # characters, taken at the beginning and in the middle
NON_LETTERS = re.compile(r"[\W\d_]+")
ASCII_LETTERS = bytes(c for c in range(128) if chr(c).isalpha())


def score_quality(text: str) -> float:
    """From 0 to 1: near 1 for running text, towards 0 for tables of numbers, markup soup, noise and endless repetition.

    The product of four ramps: share of letters among what is not blank, word length, distinct lines, and how well zlib
    packs it (too well: repetition; not at all: noise). The idea of such heuristics is Gopher's (Rae et al. 2021, A1.1).
    """
    sample = (
        text if len(text) <= 2 * SAMPLE_CHARS else text[:SAMPLE_CHARS] + "\n" + text[len(text) // 2 :][:SAMPLE_CHARS]
    )
    words = sample.split()
    if not words:
        return 0.0
    num_visible = sum(map(len, words))
    sample_bytes = sample.encode("utf-8")
    if sample.isascii():
        num_letters = len(sample_bytes) - len(sample_bytes.translate(None, ASCII_LETTERS))
    else:
        num_letters = len(NON_LETTERS.sub("", sample))
    score = _ramp(num_letters / num_visible, 0.25, 0.6)
    if sample.isascii():  # scripts without blanks have no words in this sense
        score *= _ramp(num_visible / len(words), 40, 14)
    lines = [line for line in sample.split("\n") if len(line) > 1]
    if len(lines) > 4:
        score *= _ramp(len(set(lines)) / len(lines), 0.1, 0.5)
    if len(sample_bytes) > 300:
        compression_ratio = len(zlib.compress(sample_bytes, 1)) / len(sample_bytes)
        score *= _ramp(compression_ratio, 0.05, 0.2) * _ramp(compression_ratio, 0.95, 0.75)
    return round(score, 3)


def _ramp(value: float, zero: float, one: float) -> float:
    """0 at `zero`, 1 at `one`, straight between, level beyond; `zero` may be the greater."""
    return min(1.0, max(0.0, (value - zero) / (one - zero)))
