"""American pronunciations that come with Genloom, for voices that are trained here: see README.md."""

from pathlib import Path

from genloom.speech.english_phonemes import open_phonemizer

FOLDER = Path(__file__).parent


def pronounce_text(text: str) -> str:
    """Return the phonemes of an English text; "" if nothing of it is spoken."""
    return open_phonemizer(FOLDER, False).phonemize(text) if text.strip() else ""
