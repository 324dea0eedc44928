"""A cheap score of how much a text reads like prose or code, from bounded samples."""

import re
import zlib

SAMPLE_CHARS = 1_000  # from the beginning, and as many from the middle
NON_LETTERS = re.compile(r"[\W\d_]+")
ASCII_LETTERS = bytes(c for c in range(128) if chr(c).isalpha())


def score_quality(text: str) -> float:
    """Return a score in [0, 1]: near 1 for prose, near 0 for tables of numbers, markup, noise and repetition.

    The product of four ramps: share of letters among visible characters, word length, distinct lines, and zlib's
    compression ratio (too low: repetition; near 1: noise). Such heuristics are Gopher's (Rae et al. 2021, A1.1).
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
    score = _compute_ramp(num_letters / num_visible, 0.25, 0.6)
    if sample.isascii():  # scripts without blanks have no words in this sense
        score *= _compute_ramp(num_visible / len(words), 40, 14)
    lines = [line for line in sample.split("\n") if len(line) > 1]
    if len(lines) > 4:
        score *= _compute_ramp(len(set(lines)) / len(lines), 0.1, 0.5)
    if len(sample_bytes) > 300:
        compression_ratio = len(zlib.compress(sample_bytes, 1)) / len(sample_bytes)
        score *= _compute_ramp(compression_ratio, 0.05, 0.2) * _compute_ramp(compression_ratio, 0.95, 0.75)
    return round(score, 3)


def _compute_ramp(value: float, zero: float, one: float) -> float:
    """Return 0 at `zero`, 1 at `one`, linear between, constant beyond; `zero` may be the greater."""
    return min(1.0, max(0.0, (value - zero) / (one - zero)))
