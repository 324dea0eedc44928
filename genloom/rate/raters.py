"""How far each rater's word counts: by agreement with their own repeats and with the others.

The model is Dawid and Skene's (1979) with one number a rater, how often they are right about an item that has two
possible answers, estimated by expectation–maximisation under a Beta prior: who gave no evidence counts as right four
times in five, and it takes about ten judgements of evidence to move far from that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PRIOR_ACCURACY = 0.8  # how often a rater of whom nothing is known is taken to be right
_PRIOR_STRENGTH = 8.0  # judgements that the prior is worth
_MIN_ACCURACY, _MAX_ACCURACY = 0.5, 0.97  # worse than a coin counts as a coin: nobody's word is turned around
_EM_STEPS = 100


@dataclass(frozen=True)
class BinaryLabel:
    """One answer of a rater about an item: a pair of outputs (is the first better?) or one output (is it good?)."""

    rater: str
    item: tuple[str, ...]
    is_positive: bool


def estimate_accuracies(labels: Sequence[BinaryLabel]) -> dict[str, float]:
    """How often each rater is right, from 0.5 (no better than a coin) to 0.97.

    Repeats count for what they say about the rater, but on an item every rater has one voice, however often it was
    raised. Items that were judged once say nothing.
    """
    raters = sorted({label.rater for label in labels})
    label_counts: dict[tuple[str, ...], int] = {}
    for label in labels:
        label_counts[label.item] = label_counts.get(label.item, 0) + 1
    signs_by_pair: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for label in labels:
        if label_counts[label.item] > 1:
            signs_by_pair.setdefault((label.rater, label.item), []).append(1 if label.is_positive else -1)
    if not signs_by_pair:
        return dict.fromkeys(raters, PRIOR_ACCURACY)
    item_index = {item: n for n, item in enumerate(dict.fromkeys(item for _, item in signs_by_pair))}
    rater_index = {rater: n for n, rater in enumerate(raters)}
    # G: one entry for each rater and item that have met
    rater_G = np.array([rater_index[rater] for rater, _ in signs_by_pair])
    item_G = np.array([item_index[item] for _, item in signs_by_pair])
    count_G = np.array([len(signs) for signs in signs_by_pair.values()])
    mean_G = np.array([np.mean(signs) for signs in signs_by_pair.values()])
    evidence_R = np.bincount(rater_G, count_G, len(raters))
    accuracy_R = np.full(len(raters), PRIOR_ACCURACY)
    for _ in range(_EM_STEPS):
        log_odds_G = logit(accuracy_R)[rater_G] * mean_G
        item_log_odds_G = np.bincount(item_G, log_odds_G)[item_G] + log_odds_G * (count_G - 1)
        p_positive_G = sigmoid(item_log_odds_G)
        correct_G = count_G * ((1 + mean_G) * p_positive_G + (1 - mean_G) * (1 - p_positive_G)) / 2
        posterior_R = (_PRIOR_STRENGTH * PRIOR_ACCURACY + np.bincount(rater_G, correct_G, len(raters))) / (
            _PRIOR_STRENGTH + evidence_R
        )
        accuracy_R = np.clip(posterior_R, _MIN_ACCURACY, _MAX_ACCURACY)
    return {rater: float(accuracy_R[n]) for rater, n in rater_index.items()}


def compute_label_weight(p_correct: float) -> float:
    """What a judgement that is right with this probability teaches, 1 for that of a rater of whom nothing is known.

    Of labels flipped with probability 1 - p, a share 2p - 1 is left of the signal.
    """
    return (2 * p_correct - 1) / (2 * PRIOR_ACCURACY - 1)


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
