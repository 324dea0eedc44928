"""Words of prompts that can be measured in a sound: deep, high, short, "1.5 seconds", bright, dark, sudden, soft."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from genloom.media.audio.measures import Measures

SECONDS_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(seconds?|secs?|s|milliseconds?|ms)\b", re.IGNORECASE)
LENGTH_TOLERANCE = 0.25  # share of the seconds asked for


@dataclass(frozen=True)
class Wish:
    """A measure that is to lie in a range, and the word that asks for it."""

    word: str
    measure: str
    low: float = -inf
    high: float = inf

    def is_kept(self, measures: Measures) -> bool:
        """Return whether the sound is as asked; one without a pitch has neither a high nor a low one."""
        value = getattr(measures, self.measure)
        return self.low <= value <= self.high and not (self.measure == "pitch" and value == 0)


WISHES = (
    Wish("deep", "pitch", high=180),
    Wish("low", "pitch", high=180),
    Wish("middle", "pitch", low=180, high=700),
    Wish("high", "pitch", low=700),
    Wish("very short", "length", high=0.3),
    Wish("short", "length", high=0.7),
    Wish("long", "length", low=1.0),
    Wish("dark", "brightness", high=1000),
    Wish("muffled", "brightness", high=1000),
    Wish("bright", "brightness", low=2000),
    Wish("sudden", "attack", high=30),
    Wish("soft", "attack", low=40),
)


def read_wishes(prompt: str) -> list[Wish]:
    """Return what the words of a prompt ask of a sound; a word counts once, and "very short" is not also "short"."""
    text, wishes = f" {' '.join(re.findall(r'[a-z]+', prompt.lower()))} ", []
    for wish in sorted(WISHES, key=lambda wish: -len(wish.word)):
        if f" {wish.word} " in text:
            wishes.append(wish)
            text = text.replace(f" {wish.word} ", " ")
    if (seconds := read_seconds(prompt)) is not None:
        low, high = seconds * (1 - LENGTH_TOLERANCE), seconds * (1 + LENGTH_TOLERANCE)
        wishes.append(Wish(f"{seconds:g} seconds", "length", low, high))
    return wishes


def read_seconds(prompt: str) -> float | None:
    """Return the length that a prompt asks for: "1.5 seconds", "300 ms"; None if it names none."""
    found = SECONDS_PATTERN.search(prompt)
    if not found:
        return None
    return float(found[1]) / (1000 if found[2].lower().startswith("m") else 1)


def count_kept(prompts: Sequence[str], measures: Sequence[Measures]) -> dict[str, tuple[int, int]]:
    """Return for each measure how many wishes about it are kept, of those that the prompts have."""
    counts: dict[str, list[bool]] = {}
    for prompt, each in zip(prompts, measures, strict=True):
        for wish in read_wishes(prompt):
            counts.setdefault(wish.measure, []).append(wish.is_kept(each))
    return {name: (sum(kept), len(kept)) for name, kept in counts.items()}
