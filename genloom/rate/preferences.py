"""Preferences: the votes about a model's outputs combined, their contradictions, and whether they are enough."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.rate.prompts import Split, assign_split
from genloom.rate.raters import PRIOR_ACCURACY, BinaryLabel, compute_label_weight, estimate_accuracies
from genloom.rate.ratings import LedgerRatings, read_ratings
from genloom.rate.votes import Vote, load_records, resolve_votes
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace

MIN_HELD_OUT = 11  # compute_sample_size(0.4): with fewer, not even a win rate of 90 % is significant
MIN_TRIAL_TRAIN, MIN_TRIAL_HELD_OUT = 10, 2  # of a trial, which proves nothing
MIN_TRAIN = 3 * MIN_HELD_OUT  # a quarter of the tasks is held out


def _get_key(preference: "Preference | UnpairedPreference") -> str:
    """The task, which preferences are split, counted and averaged by."""
    return preference.task or preference.prompt


def _get_split(preference: "Preference | UnpairedPreference") -> Split:
    return assign_split(_get_key(preference))


@dataclass(frozen=True)
class Preference:
    """One output is better than another for the same prompt; outputs are given by their ids."""

    prompt: str
    chosen: str
    rejected: str
    weight: float  # 1: as reliable as one vote of a rater with the prior accuracy
    events: tuple[str, ...]  # the ledger entries it comes from
    task: str = ""  # without a prompt: see prompts.build_task

    key, split = property(_get_key), property(_get_split)

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.chosen, self.rejected


@dataclass(frozen=True)
class UnpairedPreference:
    """One output is desirable or undesirable by itself."""

    prompt: str
    output: str
    is_desirable: bool
    weight: float
    events: tuple[str, ...]
    task: str = ""

    key, split = property(_get_key), property(_get_split)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)


@dataclass(frozen=True)
class Contradiction:
    """Entries with opposite votes on one output or on two."""

    prompt: str
    outputs: tuple[str, ...]
    raters: tuple[str, ...]  # a single one contradicts themselves
    events: tuple[str, ...]


@dataclass(frozen=True)
class Preferences:
    """The preferences that a model can learn from."""

    pairs: tuple[Preference, ...]
    unpaired: tuple[UnpairedPreference, ...]  # from ratings that are part of no pair
    contradictions: tuple[Contradiction, ...]
    raters: Mapping[str, float]  # the weight of each one's vote: 1 at the prior accuracy, 0 at chance
    unused: Mapping[str, str]  # ledger entries without effect, each with the reason
    num_ratings: int = 0  # about the model, in effect
    num_withdrawn: int = 0


def build_preferences(workspace: Workspace, ledger: Ledger, model: str = "") -> Preferences:
    """Combine the ratings in effect about the outputs of any version of a model, or of all models.

    Pairs come from choices between two outputs, at least one of them by the model, and from one rater's ratings of
    several answers to one prompt on the same scale. Votes of several raters on an item are added up, each weighted by
    the rater's accuracy (genloom.rate.raters).
    """
    ledger_ratings = read_ratings(ledger)
    return combine_ratings(ledger_ratings, load_records(workspace, ledger_ratings), model)


def combine_ratings(
    ledger_ratings: LedgerRatings, records: Mapping[str, Mapping[str, Any]], model: str = ""
) -> Preferences:
    """Combine ratings of outputs, which are given by their records; see `build_preferences`."""
    votes = resolve_votes(ledger_ratings, records, model)
    all_votes = {(vote.item, vote.events): vote for vote in (*votes.pairs, *votes.singles, *votes.retests)}.values()
    accuracies = estimate_accuracies([BinaryLabel(vote.rater, vote.item, vote.margin > 0) for vote in all_votes])
    consensuses = [
        _aggregate_votes(item_votes, accuracies) for item_votes in _group_by_item((*votes.pairs, *votes.singles))
    ]
    unused = {
        **votes.unused,
        **{event: reason for consensus in consensuses for event, reason in consensus.unused.items()},
    }
    pairs, unpaired = [], []
    for each in (consensus for consensus in consensuses if consensus.weight):
        vote, rest = each.vote, (each.weight, each.events, each.vote.task)
        if len(vote.item) == 2:
            pairs.append(Preference(vote.prompt, *(vote.item if each.log_odds > 0 else vote.item[::-1]), *rest))
        else:
            unpaired.append(UnpairedPreference(vote.prompt, *vote.item, each.log_odds > 0, *rest))
    # Only outputs without a prompt can be in two tasks; training on a held-out one would spoil the proof.
    held_out = {output for each in (*pairs, *unpaired) if each.split == "val" for output in each.outputs}
    leaking = {each for each in (*pairs, *unpaired) if each.split == "train" and not held_out.isdisjoint(each.outputs)}
    unused |= {event: "an output of it is also in a held-out comparison" for each in leaking for event in each.events}
    pairs = [pair for pair in pairs if pair not in leaking]
    unpaired = [rated for rated in unpaired if rated not in leaking]
    used_events = {event for each in (*pairs, *unpaired) for event in each.events}
    return Preferences(
        tuple(pairs),
        tuple(unpaired),
        tuple(_find_contradictions((*votes.pairs, *votes.singles), votes.retests)),
        {rater: compute_label_weight(accuracies.get(rater, PRIOR_ACCURACY)) for rater in sorted(votes.raters)},
        {event: reason for event, reason in unused.items() if event not in used_events},
        votes.num_ratings,
        votes.num_withdrawn,
    )


@dataclass(frozen=True)
class _Consensus:
    """All votes on an item combined."""

    vote: Vote  # the first of them, of the same item
    unused: Mapping[str, str]
    log_odds: float = 0.0
    weight: float = 0.0  # 0 if they cancel out
    events: tuple[str, ...] = ()


def _aggregate_votes(votes: Sequence[Vote], accuracies: Mapping[str, float]) -> _Consensus:
    """Add up the votes as log-odds. Each rater has one vote, the mean of their votes on this item."""
    margins_by_rater = {
        rater: [vote.margin for vote in votes if vote.rater == rater] for rater in {v.rater for v in votes}
    }
    log_odds = sum(
        math.log(accuracies[rater] / (1 - accuracies[rater])) * sum(margins) / len(margins)
        for rater, margins in margins_by_rater.items()
    )
    if abs(log_odds) < 1e-9:
        is_contradictory = len({vote.margin > 0 for vote in votes}) > 1
        reason = "cancelled by opposite votes" if is_contradictory else "its rater is no better than chance"
        return _Consensus(votes[0], {event: reason for v in votes for event in v.events})
    agreeing_votes = [vote for vote in votes if vote.margin * log_odds > 0]
    events = tuple(sorted({event for vote in agreeing_votes for event in vote.events}))
    outvoted_events = {event: "outvoted" for v in votes for event in v.events if event not in events}
    p_correct = 1 / (1 + math.exp(-abs(log_odds)))
    weight = compute_label_weight(p_correct) * max(vote.weight for vote in agreeing_votes)
    return _Consensus(votes[0], outvoted_events, log_odds, weight, events)


def _group_by_item(votes: Iterable[Vote]) -> list[list[Vote]]:
    groups: dict[tuple[str, ...], list[Vote]] = {}
    for vote in votes:
        groups.setdefault(vote.item, []).append(vote)
    return list(groups.values())


def _find_contradictions(votes: Sequence[Vote], retests: Iterable[Vote]) -> Iterator[Contradiction]:
    """Yield the contradictions between votes, and of raters with themselves when they were asked again."""
    votes_by_key = {(vote.rater, vote.item): vote for vote in votes}
    repeated = [(votes_by_key.get((vote.rater, vote.item)), vote) for vote in retests]
    groups = [*_group_by_item(votes), *([vote, again] for vote, again in repeated if vote is not None)]
    for group in groups:
        if len({vote.margin > 0 for vote in group}) > 1:
            raters = tuple(sorted({vote.rater for vote in group}))
            events = tuple(dict.fromkeys(event for vote in group for event in vote.events))
            yield Contradiction(group[0].prompt, group[0].item, raters, events)


def compute_sample_size(effect: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return how many held-out comparisons detect a win rate of 0.5 + effect with this power.

    By the exact one-sided binomial test at level alpha; every larger number has the power too.
    """
    if not 0.02 <= effect <= 0.5:
        raise GenloomError("rate.bad_effect", effect=effect)
    # The normal approximation, plus a margin, since exact power is a sawtooth in the count.
    std_ratio = 2 * math.sqrt((0.5 + effect) * (0.5 - effect))
    estimate = ((NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power) * std_ratio) / (2 * effect)) ** 2
    too_small = (n for n in range(int(1.15 * estimate) + 40, 0, -1) if _compute_power(n, 0.5 + effect, alpha) < power)
    return next(too_small, 0) + 1


def _compute_power(count: int, rate: float, alpha: float) -> float:
    """Return the probability that the test rejects a win rate of 0.5, if the true one is `rate`."""
    null_tails = _compute_tails(count, 0.5)
    min_wins = int(np.argmax(null_tails <= alpha))  # the critical value; the last tail is 0
    return float(_compute_tails(count, rate)[min_wins])


def _compute_tails(count: int, rate: float) -> np.ndarray:
    """Return the probability of at least 0, 1, … count, count + 1 wins."""
    wins = np.arange(count + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    log_ways = factorials[count] - factorials - factorials[::-1]
    losses = (count - wins) * math.log1p(-rate) if rate < 1 else np.where(wins == count, 0.0, -np.inf)
    probabilities = np.exp(log_ways + wins * math.log(rate) + losses)
    return np.append(np.cumsum(probabilities[::-1])[::-1], 0.0)


def require_enough_preferences(preferences: Preferences, is_trial: bool = False) -> None:
    """Raise GenloomError if there are too few preferences to train on or to prove a gain, with how many are missing.

    A trial needs fewer, since it proves nothing.
    """
    splits = [each.split for each in (*preferences.pairs, *preferences.unpaired)]
    num_train, num_held_out = splits.count("train"), splits.count("val")
    min_train, min_held_out = (MIN_TRIAL_TRAIN, MIN_TRIAL_HELD_OUT) if is_trial else (MIN_TRAIN, MIN_HELD_OUT)
    if num_train >= min_train and num_held_out >= min_held_out:
        return
    # A quarter of new prompts is held out.
    num_missing = max(math.ceil((min_train - num_train) * 4 / 3), (min_held_out - num_held_out) * 4)
    needed_by_rate = ", ".join(
        f"{max(4 * compute_sample_size(effect) - num_train - num_held_out, num_missing):,} to detect {0.5 + effect:.0%}"
        for effect in (0.25, 0.15, 0.1)
    )
    raise GenloomError(
        "rate.too_few_preferences",
        train=num_train,
        held_out=num_held_out,
        min_train=min_train,
        min_held_out=min_held_out,
        min_trial=MIN_TRIAL_TRAIN,
        missing=num_missing,
        needed_by_rate=needed_by_rate,
    )
