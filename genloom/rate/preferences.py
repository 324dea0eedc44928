"""What the ledger's ratings teach about a model's outputs, where they clash, and whether they are enough."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from genloom.rate.prompts import split
from genloom.rate.raters import RIGHT, Vote, accuracies, weight
from genloom.rate.ratings import standing
from genloom.rate.voices import Voice, heard
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace

LEAST_HELD_OUT = 11  # needed(0.4): below that, not even a win rate of nine in ten can be told from chance
LEAST_TO_LEARN = 3 * LEAST_HELD_OUT  # a quarter of the prompts is held out


@dataclass(frozen=True)
class Preference:
    """One output is better than another for the same prompt; the outputs are named by their ids."""

    prompt: str
    win: str
    lose: str
    weight: float  # 1: as sure as the word of one rater of whom nothing is known
    events: tuple[str, ...]  # the ledger's entries that say so


@dataclass(frozen=True)
class Opinion:
    """One output is good or bad by itself."""

    prompt: str
    output: str
    good: bool
    weight: float
    events: tuple[str, ...]


@dataclass(frozen=True)
class Contradiction:
    """Entries that say opposite things of one output or of two."""

    prompt: str
    outputs: tuple[str, ...]
    raters: tuple[str, ...]  # one, where somebody contradicts themselves
    events: tuple[str, ...]


@dataclass(frozen=True)
class Preferences:
    """What a model can learn from."""

    pairs: tuple[Preference, ...]
    opinions: tuple[Opinion, ...]  # of ratings that are in no pair
    contradictions: tuple[Contradiction, ...]
    raters: Mapping[str, float]  # the weight of each one's word: 1 where nothing is known of them, 0 for a coin
    unused: Mapping[str, str]  # the ledger's entries without effect, each with the reason


def preferences(workspace: Workspace, ledger: Ledger, model: str = "") -> Preferences:
    """What the ratings that stand say of the outputs of a model, in whatever version, or of all models.

    Pairs come from choices between two outputs, of which the model wrote one at least, and from ratings that a rater
    gave to several answers to one prompt in the same scale. What several raters say of the same is added up, each by
    how often they are right (genloom.rate.raters).
    """
    said = heard(workspace, standing(ledger), model)
    every = {(voice.item, voice.events): voice for voice in (*said.pairs, *said.alone, *said.aside)}.values()
    right = accuracies([Vote(voice.rater, voice.item, voice.lean > 0) for voice in every])
    verdicts = [_verdict(voices, right) for voices in _by_item((*said.pairs, *said.alone))]
    unused = {**said.unused, **{event: reason for verdict in verdicts for event, reason in verdict.unused.items()}}
    taught = {event for verdict in verdicts for event in verdict.events}
    return Preferences(
        tuple(
            Preference(v.prompt, *(v.item if v.lean > 0 else v.item[::-1]), v.weight, v.events)
            for v in verdicts
            if v.weight and len(v.item) == 2
        ),
        tuple(
            Opinion(v.prompt, v.item[0], v.lean > 0, v.weight, v.events)
            for v in verdicts
            if v.weight and len(v.item) == 1
        ),
        tuple(_contradictions(every)),
        {rater: weight(right.get(rater, RIGHT)) for rater in sorted(said.raters)},
        {event: reason for event, reason in unused.items() if event not in taught},
    )


@dataclass(frozen=True)
class _Verdict:
    """What all voices about an item say together."""

    prompt: str
    item: tuple[str, ...]
    lean: float
    weight: float  # 0 where they say nothing
    events: tuple[str, ...]
    unused: Mapping[str, str]


def _verdict(voices: Sequence[Voice], right: Mapping[str, float]) -> _Verdict:
    """Add up the voices as log-odds; each rater has one, the mean of what they said of this item."""
    said = {rater: [voice.lean for voice in voices if voice.rater == rater] for rater in {v.rater for v in voices}}
    lean = sum(math.log(right[rater] / (1 - right[rater])) * sum(leans) / len(leans) for rater, leans in said.items())
    first = voices[0]
    if abs(lean) < 1e-9:
        clash = len({voice.lean > 0 for voice in voices}) > 1
        reason = "as much was said against it" if clash else "its rater answers like a coin"
        return _Verdict(first.prompt, first.item, 0, 0, (), {event: reason for v in voices for event in v.events})
    agree = [voice for voice in voices if voice.lean * lean > 0]
    events = tuple(sorted({event for voice in agree for event in voice.events}))
    outvoted = {event: "outvoted" for v in voices for event in v.events if event not in events}
    certainty = 1 / (1 + math.exp(-abs(lean)))
    share = max(voice.share for voice in agree)
    return _Verdict(first.prompt, first.item, lean, weight(certainty) * share, events, outvoted)


def _by_item(voices: Iterable[Voice]) -> list[list[Voice]]:
    groups: dict[tuple[str, ...], list[Voice]] = {}
    for voice in voices:
        groups.setdefault(voice.item, []).append(voice)
    return list(groups.values())


def _contradictions(voices: Iterable[Voice]) -> Iterator[Contradiction]:
    for group in _by_item(voices):
        if len({voice.lean > 0 for voice in group}) > 1:
            raters = tuple(sorted({voice.rater for voice in group}))
            events = tuple(dict.fromkeys(event for voice in group for event in voice.events))
            yield Contradiction(group[0].prompt, group[0].item, raters, events)


def needed(effect: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """How many held-out comparisons show, with this power, that a win rate of 0.5 + effect is no chance.

    Of an exact one-sided binomial test at level alpha; from this number on, every larger one does as well.
    """
    if not 0.02 <= effect <= 0.5:
        raise ValueError(f"An effect is a win rate's distance from a half, from 0.02 to 0.5, and {effect} is not.")
    # The normal approximation, and above it enough room for the sawtooth that whole numbers make of power.
    spread = 2 * math.sqrt((0.5 + effect) * (0.5 - effect))
    rough = ((NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power) * spread) / (2 * effect)) ** 2
    failing = (n for n in range(int(1.15 * rough) + 40, 0, -1) if _power(n, 0.5 + effect, alpha) < power)
    return next(failing, 0) + 1


def _power(count: int, rate: float, alpha: float) -> float:
    """How probably so many comparisons won at this rate reject that the rate is a half."""
    by_chance = _tails(count, 0.5)
    least = int(np.argmax(by_chance <= alpha))  # wins that are too many for chance; the last tail is 0
    return float(_tails(count, rate)[least])


def _tails(count: int, rate: float) -> np.ndarray:
    """The probability of at least 0, 1, … count, count + 1 wins."""
    wins = np.arange(count + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    ways = factorials[count] - factorials - factorials[::-1]
    losses = (count - wins) * math.log1p(-rate) if rate < 1 else np.where(wins == count, 0.0, -np.inf)
    exactly = np.exp(ways + wins * math.log(rate) + losses)
    return np.append(np.cumsum(exactly[::-1])[::-1], 0.0)


def enough(prefs: Preferences) -> None:
    """Raises ValueError where there is too little to learn from and to prove it, saying how much more what shows."""
    places = [split(each.prompt) for each in (*prefs.pairs, *prefs.opinions)]
    learn, held = places.count("train"), places.count("val")
    if learn >= LEAST_TO_LEARN and held >= LEAST_HELD_OUT:
        return
    # Of new prompts, chance holds out a quarter.
    more = max(math.ceil((LEAST_TO_LEARN - learn) * 4 / 3), (LEAST_HELD_OUT - held) * 4)
    shows = ", ".join(
        f"{max(4 * needed(effect) - learn - held, more):,} more for one of {0.5 + effect:.0%}"
        for effect in (0.25, 0.15, 0.1)
    )
    raise ValueError(
        f"There are {learn} preferences to learn from and {held} held out to prove it; the least is {LEAST_TO_LEARN} "
        f"and {LEAST_HELD_OUT}. Rate about {more} more, of answers to different prompts: that shows a win rate of 90% "
        f"on held-out prompts. It takes about {shows}."
    )
