"""A round of blind comparisons: which pairs are shown, in which order, and how its answers are told apart for ever."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_REPEATED_AFTER = 3  # other pairs at least, so that nobody simply remembers


@dataclass(frozen=True)
class Showing:
    """One pair on its way to the rater."""

    prompt: str
    swapped: bool  # whether the second contender's answer is shown first
    again: bool  # whether it was shown before, the other way round
    event: str  # the id of the choice it leads to: with it, an answer given twice is one


def bout_of(contenders: Sequence[str], prompts: Sequence[str], controls: Any) -> str:
    """The id of a round: the same contenders (digests), prompts and settings are the same round, to be gone on with."""
    said = json.dumps([list(contenders), list(prompts), controls], sort_keys=True)
    return hashlib.sha256(f"genloom bout 1\n{said}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


def showings(bout: str, prompts: Sequence[str], rater: str, repeats: float) -> list[Showing]:
    """Every prompt once in an order and with sides that only chance decided, then a share of them again, swapped.

    The same for the same rater every time, so that a round broken off can be gone on with.
    """
    chance = random.Random(f"{bout} {rater}")
    order = chance.sample(prompts, len(prompts))
    first = [(prompt, chance.random() < 0.5, False) for prompt in order]
    repeatable = first[: max(len(first) - _REPEATED_AFTER, 0)]
    drawn = chance.sample(repeatable, min(round(repeats * len(first)), len(repeatable)))
    # In the order of their first showing, so that every one has at least that many others in between.
    second = [(prompt, not swapped, True) for prompt, swapped, _ in first if (prompt, swapped, False) in drawn]
    return [Showing(*each, _event(bout, rater, each[0], each[2])) for each in (*first, *second)]


def _event(bout: str, rater: str, prompt: str, again: bool) -> str:
    said = json.dumps([bout, rater, prompt, again])
    return hashlib.sha256(said.encode()).hexdigest()[:12]
