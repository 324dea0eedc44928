"""Texts of any length as passages that are spoken one after the other: sentences, in phonemes, with pauses."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from genloom.speech.markup import Pause, iter_parts

MIN_PHONEMES = 25  # of a sentence that is spoken alone; models speak shorter ones hastily
_SENTENCE_END = re.compile(r"(?<=[.!?…])[”)]*(?=\s)")
_CLAUSE_END = re.compile(r"[;:—](?=\s)|,(?=\s)|(?<=\S)\s")


@dataclass(frozen=True)
class Passage:
    """Phonemes that are spoken at once."""

    phonemes: str


def iter_passages(
    text: str, phonemize: Callable[[str], str], max_phonemes: int, min_phonemes: int = MIN_PHONEMES
) -> Iterator[Passage | Pause]:
    """Yield the sentences of a text as phonemes, and the pauses between them.

    A short sentence is joined to the next one; one with more than `max_phonemes` is divided between its clauses.
    """
    for part in iter_parts(text):
        if isinstance(part, Pause):
            yield part
            continue
        waiting = ""
        for sentence in split_phonemes(phonemize(part)):
            joined = f"{waiting} {sentence}".strip()
            if len(joined) < min_phonemes:
                waiting = joined
                continue
            if waiting and len(joined) > max_phonemes:
                yield Passage(waiting)
                joined = sentence
            waiting = ""
            yield from map(Passage, divide_sentence(joined, max_phonemes))
        if is_spoken(waiting):
            yield Passage(waiting)


def split_phonemes(phonemes: str) -> list[str]:
    """Return the sentences of a paragraph that are spoken: those with a sound."""
    sentences, begin = [], 0
    for match in _SENTENCE_END.finditer(phonemes):
        sentences.append(phonemes[begin : match.end()].strip())
        begin = match.end()
    sentences.append(phonemes[begin:].strip())
    return [sentence for sentence in sentences if is_spoken(sentence)]


def divide_sentence(phonemes: str, max_phonemes: int) -> list[str]:
    """Return a sentence in pieces of at most `max_phonemes`, cut after clauses, else after words."""
    pieces = []
    while len(phonemes) > max_phonemes:
        ends = [(match.end(), match[0]) for match in _CLAUSE_END.finditer(phonemes, 1, max_phonemes)]
        good = [end for end, mark in ends if not mark.isspace() and end > max_phonemes // 3]
        words = [end for end, mark in ends if mark.isspace()]
        cut = good[-1] if good else words[-1] if words else max_phonemes
        pieces.append(phonemes[:cut].strip())
        phonemes = phonemes[cut:].strip()
    return [piece for piece in [*pieces, phonemes] if is_spoken(piece)]


def is_spoken(phonemes: str) -> bool:
    """Return whether phonemes have a sound: a letter of any alphabet."""
    return any(phoneme.isalpha() for phoneme in phonemes)
