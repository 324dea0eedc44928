"""Copies of training texts: passages, verbatim; and the texts by which a model may reveal them."""

import random
from collections.abc import Mapping, Sequence

from genloom.media.text.personal_data import scrub_text
from genloom.trust.copied_spans import CopiedSpan
from genloom.trust.copies import CopyReport, Match, TrainingData, shorten_text
from genloom.trust.shared_spans import SpanReading, find_shared_spans
from genloom.types import Item

PREFIX_CHARS = 200
PERSONAL_KINDS = ("email", "iban", "card", "ip", "phone")  # names are found by their cues only, and often invented


def write_passage(value: str, *, is_output: bool) -> str:
    """Return the text in which passages are found: the value itself."""
    return value


def build_match(value: str, text: str, span: CopiedSpan, item: Item) -> Match:
    return Match(
        span.source,
        span.licence,
        str(item.meta.get("id", "")),
        length=span.length,
        share=span.length / max(len(text), 1),
        place=f"from character {span.start:,}, in the document from {span.offset:,}",
        excerpt=shorten_text(span.text),
        is_identical=span.length == len(text) and item.value == text,
    )


READING = SpanReading("text", "character", write_passage, build_match)


def find_shared(values: Sequence[str], data: TrainingData) -> list[CopyReport]:
    """Find the longest passages of texts that occur in training texts."""
    return find_shared_spans(values, data, READING)


def split_prefix(value: str) -> tuple[str, str]:
    """Return the beginning of a text, from which a model continues, and what follows in it."""
    middle = min(PREFIX_CHARS, len(value) // 2)
    return value[:middle], value[middle : middle + PREFIX_CHARS]


def find_personal_data(value: str) -> Mapping[str, int]:
    """Return how often a text has personal data, by kind: numbers with a checksum, addresses, telephone numbers."""
    return scrub_text(value, PERSONAL_KINDS)[1]


def write_canary(rng: random.Random) -> str:
    """Return a text with a secret of nine random digits."""
    return f"The secret number is {rng.randrange(10**9):09d}.\n"
