"""What the ledger's ratings teach about a model's outputs, where they clash, and whether they are enough."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from genloom.rate.prompts import assign_split
from genloom.rate.raters import PRIOR_ACCURACY, BinaryLabel, compute_label_weight, estimate_accuracies
from genloom.rate.ratings import read_ratings
from genloom.rate.votes import Vote, resolve_votes
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace

MIN_HELD_OUT = 11  # needed(0.4): below that, not even a win rate of nine in ten can be told from chance
MIN_TRAIN = 3 * MIN_HELD_OUT  # a quarter of the prompts is held out


@dataclass(frozen=True)
class Preference:
    """One output is better than another for the same prompt; the outputs are named by their ids."""

    prompt: str
    chosen: str
    rejected: str
    weight: float  # 1: as sure as the word of one rater of whom nothing is known
    events: tuple[str, ...]  # the ledger's entries that say so


@dataclass(frozen=True)
class UnpairedPreference:
    """One output is good or bad by itself."""

    prompt: str
    output: str
    is_desirable: bool
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
    unpaired: tuple[UnpairedPreference, ...]  # of ratings that are in no pair
    contradictions: tuple[Contradiction, ...]
    raters: Mapping[str, float]  # the weight of each one's word: 1 where nothing is known of them, 0 for a coin
    unused: Mapping[str, str]  # the ledger's entries without effect, each with the reason


def build_preferences(workspace: Workspace, ledger: Ledger, model: str = "") -> Preferences:
    """What the ratings that stand say of the outputs of a model, in whatever version, or of all models.

    Pairs come from choices between two outputs, of which the model wrote one at least, and from ratings that a rater
    gave to several answers to one prompt in the same scale. What several raters say of the same is added up, each by
    how often they are right (genloom.rate.raters).
    """
    votes = resolve_votes(workspace, read_ratings(ledger), model)
    all_votes = {(vote.item, vote.events): vote for vote in (*votes.pairs, *votes.singles, *votes.retests)}.values()
    accuracies = estimate_accuracies([BinaryLabel(vote.rater, vote.item, vote.margin > 0) for vote in all_votes])
    consensuses = [
        _aggregate_votes(item_votes, accuracies) for item_votes in _group_by_item((*votes.pairs, *votes.singles))
    ]
    unused = {
        **votes.unused,
        **{event: reason for consensus in consensuses for event, reason in consensus.unused.items()},
    }
    used_events = {event for consensus in consensuses for event in consensus.events}
    return Preferences(
        tuple(
            Preference(v.prompt, *(v.item if v.log_odds > 0 else v.item[::-1]), v.weight, v.events)
            for v in consensuses
            if v.weight and len(v.item) == 2
        ),
        tuple(
            UnpairedPreference(v.prompt, v.item[0], v.log_odds > 0, v.weight, v.events)
            for v in consensuses
            if v.weight and len(v.item) == 1
        ),
        tuple(_find_contradictions(all_votes)),
        {rater: compute_label_weight(accuracies.get(rater, PRIOR_ACCURACY)) for rater in sorted(votes.raters)},
        {event: reason for event, reason in unused.items() if event not in used_events},
    )


@dataclass(frozen=True)
class _Consensus:
    """What all voices about an item say together."""

    prompt: str
    item: tuple[str, ...]
    log_odds: float
    weight: float  # 0 where they say nothing
    events: tuple[str, ...]
    unused: Mapping[str, str]


def _aggregate_votes(votes: Sequence[Vote], accuracies: Mapping[str, float]) -> _Consensus:
    """Add up the voices as log-odds; each rater has one, the mean of what they said of this item."""
    margins_by_rater = {
        rater: [vote.margin for vote in votes if vote.rater == rater] for rater in {v.rater for v in votes}
    }
    log_odds = sum(
        math.log(accuracies[rater] / (1 - accuracies[rater])) * sum(margins) / len(margins)
        for rater, margins in margins_by_rater.items()
    )
    first_vote = votes[0]
    if abs(log_odds) < 1e-9:
        is_contradictory = len({vote.margin > 0 for vote in votes}) > 1
        reason = "as much was said against it" if is_contradictory else "its rater answers like a coin"
        return _Consensus(
            first_vote.prompt, first_vote.item, 0, 0, (), {event: reason for v in votes for event in v.events}
        )
    agreeing_votes = [vote for vote in votes if vote.margin * log_odds > 0]
    events = tuple(sorted({event for vote in agreeing_votes for event in vote.events}))
    outvoted_events = {event: "outvoted" for v in votes for event in v.events if event not in events}
    p_correct = 1 / (1 + math.exp(-abs(log_odds)))
    vote_weight = max(vote.weight for vote in agreeing_votes)
    return _Consensus(
        first_vote.prompt,
        first_vote.item,
        log_odds,
        compute_label_weight(p_correct) * vote_weight,
        events,
        outvoted_events,
    )


def _group_by_item(votes: Iterable[Vote]) -> list[list[Vote]]:
    groups: dict[tuple[str, ...], list[Vote]] = {}
    for vote in votes:
        groups.setdefault(vote.item, []).append(vote)
    return list(groups.values())


def _find_contradictions(votes: Iterable[Vote]) -> Iterator[Contradiction]:
    for group in _group_by_item(votes):
        if len({vote.margin > 0 for vote in group}) > 1:
            raters = tuple(sorted({vote.rater for vote in group}))
            events = tuple(dict.fromkeys(event for vote in group for event in vote.events))
            yield Contradiction(group[0].prompt, group[0].item, raters, events)


def compute_sample_size(effect: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """How many held-out comparisons show, with this power, that a win rate of 0.5 + effect is no chance.

    Of an exact one-sided binomial test at level alpha; from this number on, every larger one does as well.
    """
    if not 0.02 <= effect <= 0.5:
        raise ValueError(f"An effect is a win rate's distance from a half, from 0.02 to 0.5, and {effect} is not.")
    # The normal approximation, and above it enough room for the sawtooth that whole numbers make of power.
    std_ratio = 2 * math.sqrt((0.5 + effect) * (0.5 - effect))
    estimate = ((NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power) * std_ratio) / (2 * effect)) ** 2
    too_small = (n for n in range(int(1.15 * estimate) + 40, 0, -1) if _compute_power(n, 0.5 + effect, alpha) < power)
    return next(too_small, 0) + 1


def _compute_power(count: int, rate: float, alpha: float) -> float:
    """How probably so many comparisons won at this rate reject that the rate is a half."""
    null_tails = _compute_tails(count, 0.5)
    min_wins = int(np.argmax(null_tails <= alpha))  # wins that are too many for chance; the last tail is 0
    return float(_compute_tails(count, rate)[min_wins])


def _compute_tails(count: int, rate: float) -> np.ndarray:
    """The probability of at least 0, 1, … count, count + 1 wins."""
    wins = np.arange(count + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    log_ways = factorials[count] - factorials - factorials[::-1]
    losses = (count - wins) * math.log1p(-rate) if rate < 1 else np.where(wins == count, 0.0, -np.inf)
    probabilities = np.exp(log_ways + wins * math.log(rate) + losses)
    return np.append(np.cumsum(probabilities[::-1])[::-1], 0.0)


def require_enough_preferences(preferences: Preferences) -> None:
    """Raises ValueError where there is too little to learn from and to prove it, saying how much more what shows."""
    splits = [assign_split(each.prompt) for each in (*preferences.pairs, *preferences.unpaired)]
    num_train, num_held_out = splits.count("train"), splits.count("val")
    if num_train >= MIN_TRAIN and num_held_out >= MIN_HELD_OUT:
        return
    # Of new prompts, chance holds out a quarter.
    num_missing = max(math.ceil((MIN_TRAIN - num_train) * 4 / 3), (MIN_HELD_OUT - num_held_out) * 4)
    effect_sizes = ", ".join(
        f"{max(4 * compute_sample_size(effect) - num_train - num_held_out, num_missing):,} more for one of {0.5 + effect:.0%}"
        for effect in (0.25, 0.15, 0.1)
    )
    raise ValueError(
        f"There are {num_train} preferences to learn from and {num_held_out} held out to prove it; the least is {MIN_TRAIN} "
        f"and {MIN_HELD_OUT}. Rate about {num_missing} more, of answers to different prompts: that shows a win rate of 90% "
        f"on held-out prompts. It takes about {effect_sizes}."
    )
