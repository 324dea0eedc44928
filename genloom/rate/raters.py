"""Accuracy of raters, estimated from agreement with their own repeats and with other raters.

The model of Dawid and Skene (1979) with one parameter per rater, the probability of being right about an item with two
possible answers, fitted by expectation–maximisation under a Beta prior. A rater without evidence has the prior accuracy
of 0.8; it takes about ten judgements of evidence to move far from that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PRIOR_ACCURACY = 0.8  # of a rater without evidence
_PRIOR_STRENGTH = 8.0  # judgements that the prior is worth (the sum of its Beta parameters)
_MIN_ACCURACY, _MAX_ACCURACY = 0.5, 0.97  # below chance counts as chance: votes are never inverted
_EM_STEPS = 100


@dataclass(frozen=True)
class BinaryLabel:
    """A rater's answer about an item: two outputs (is the first better?) or one output (is it good?)."""

    rater: str
    item: tuple[str, ...]
    is_positive: bool


def estimate_accuracies(labels: Sequence[BinaryLabel]) -> dict[str, float]:
    """Estimate how often each rater is right, from 0.5 (chance) to 0.97.

    Repeats are evidence about the rater, but each rater has one vote on an item, however often it is repeated. Items
    with a single label carry no evidence.
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
    # G: one entry for each rater and item with a label
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
    """Return the weight of a label with this accuracy, relative to one with the prior accuracy.

    Labels that are flipped with probability 1 - p keep a share 2p - 1 of the signal.
    """
    return (2 * p_correct - 1) / (2 * PRIOR_ACCURACY - 1)


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
