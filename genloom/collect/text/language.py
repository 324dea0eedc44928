"""Detect the language of a text from a bounded sample."""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SAMPLE_CHARS = 320  # at most; the classifier takes half a microsecond for each
MIN_LETTERS = 10  # with fewer, the language is undetermined
MIN_PROBABILITY = 0.35  # with less, too
UNDETERMINED = "und"  # ISO 639-2: undetermined


@functools.cache
def _load_identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def detect_language(text: str) -> str:
    """Return the ISO 639-1 code of the language in the middle of the text, or "und" if it is undetermined."""
    size = min(SAMPLE_CHARS, max(SAMPLE_CHARS // 3, len(text) // 16))
    start = max(0, (len(text) - size) // 2)
    sample = text[start : start + size]
    if sum(map(str.isalpha, sample)) < MIN_LETTERS:
        return UNDETERMINED
    code, probability = _load_identifier().classify(sample)
    return code if probability >= MIN_PROBABILITY else UNDETERMINED
