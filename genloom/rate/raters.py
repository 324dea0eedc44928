"""How far each rater's word counts: by agreement with their own repeats and with the others.

The model is Dawid and Skene's (1979) with one number a rater, how often they are right about an item that has two
possible answers, estimated by expectation–maximisation under a Beta prior: who gave no evidence counts as right four
times in five, and it takes about ten judgements of evidence to move far from that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RIGHT = 0.8  # how often a rater of whom nothing is known is taken to be right
_BELIEF = 8.0  # judgements that the prior is worth
_LEAST, _MOST = 0.5, 0.97  # worse than a coin counts as a coin: nobody's word is turned around
_ROUNDS = 100


@dataclass(frozen=True)
class Vote:
    """One answer of a rater about an item: a pair of outputs (is the first better?) or one output (is it good?)."""

    rater: str
    item: tuple[str, ...]
    yes: bool


def accuracies(votes: Sequence[Vote]) -> dict[str, float]:
    """How often each rater is right, from 0.5 (no better than a coin) to 0.97.

    Repeats count for what they say about the rater, but on an item every rater has one voice, however often it was
    raised. Items that were judged once say nothing.
    """
    raters = sorted({vote.rater for vote in votes})
    often: dict[tuple[str, ...], int] = {}
    for vote in votes:
        often[vote.item] = often.get(vote.item, 0) + 1
    said: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for vote in votes:
        if often[vote.item] > 1:
            said.setdefault((vote.rater, vote.item), []).append(1 if vote.yes else -1)
    if not said:
        return dict.fromkeys(raters, RIGHT)
    items = {item: n for n, item in enumerate(dict.fromkeys(item for _, item in said))}
    numbers = {rater: n for n, rater in enumerate(raters)}
    # G: one entry for each rater and item that have met
    rater_G = np.array([numbers[rater] for rater, _ in said])
    item_G = np.array([items[item] for _, item in said])
    count_G = np.array([len(signs) for signs in said.values()])
    mean_G = np.array([np.mean(signs) for signs in said.values()])
    evidence_R = np.bincount(rater_G, count_G, len(raters))
    right_R = np.full(len(raters), RIGHT)
    for _ in range(_ROUNDS):
        voice_G = logit(right_R)[rater_G] * mean_G
        odds_G = np.bincount(item_G, voice_G)[item_G] + voice_G * (count_G - 1)
        yes_G = sigmoid(odds_G)
        correct_G = count_G * ((1 + mean_G) * yes_G + (1 - mean_G) * (1 - yes_G)) / 2
        share_R = (_BELIEF * RIGHT + np.bincount(rater_G, correct_G, len(raters))) / (_BELIEF + evidence_R)
        right_R = np.clip(share_R, _LEAST, _MOST)
    return {rater: float(right_R[n]) for rater, n in numbers.items()}


def weight(certainty: float) -> float:
    """What a judgement that is right with this probability teaches, 1 for that of a rater of whom nothing is known.

    Of labels flipped with probability 1 - p, a share 2p - 1 is left of the signal.
    """
    return (2 * certainty - 1) / (2 * RIGHT - 1)


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
