"""Noisy labels: ratings that a reward model fitted to the other ratings contradicts.

Each training pair is scored by a head that was fitted without its prompt, so the head cannot have memorised the rating
(Northcutt et al. 2021, "Confident learning", which prunes labels by out-of-sample predictions). The head errs too, and
may be blind to what a preference is about. Two things separate its errors from the raters': how often its most
confident predictions are contradicted, and how often the ratings are intransitive (a over b, b over c, c over a;
Kendall and Babington Smith 1940, "On the method of paired comparisons"), which needs no model.

Shape letters: N pairs, R flip rates, S slopes, O orders.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np

from genloom.learn.reward_model import PairFeatures
from genloom.rate.preferences import Preference

MAX_P_WRONG = 0.4  # a pair that is more likely wrong does more harm than good
FLIP_RATES_R = np.linspace(0, 0.48, 25)  # shares of ratings that are flipped at random
MAX_RANKED_OUTPUTS = 5  # of a prompt, those compared most; all their orders are enumerated
MISLABELLED_REASON = "a reward model fitted to the other ratings prefers the other answer"


def find_mislabelled(train: PairFeatures | None) -> tuple[Preference, ...]:
    """Return the pairs to leave out; none if the held-out accuracy of the heads is not significantly above chance."""
    if train is None or not train.pairs:
        return ()
    _, margins_N = train.cross_validation
    accuracy = float((margins_N > 0).mean())
    if accuracy < 0.5 + 2 * (0.25 / len(margins_N)) ** 0.5:  # two standard errors above chance
        return ()
    p_wrong_N = compute_p_wrong(margins_N, compute_intransitivity(train.pairs))
    return tuple(pair for pair, p_wrong in zip(train.pairs, p_wrong_N, strict=True) if p_wrong > MAX_P_WRONG)


def compute_p_wrong(margins_N: np.ndarray, intransitivity_R: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the probability that each pair is mislabelled, N, from the margins and the likelihood of each flip rate.

    The model: a share of the ratings is flipped at random, whatever the outputs, and the rest follows the margins by
    Bradley and Terry. The posterior mean over all flip rates below one half and all slopes.
    """
    flip_rates_R11, slopes_S1 = FLIP_RATES_R[:, None, None], np.geomspace(0.05, 20, 40)[:, None]
    p_correct_SN = 1 / (1 + np.exp(-np.clip(slopes_S1 * margins_N, -50, 50)))
    p_rating_RSN = (1 - flip_rates_R11) * p_correct_SN + flip_rates_R11 * (1 - p_correct_SN)
    log_likelihood_RS1 = np.log(p_rating_RSN + 1e-12).sum(2, keepdims=True)
    log_likelihood_RS1 = log_likelihood_RS1 + np.reshape(intransitivity_R, (-1, 1, 1))
    posterior_RS1 = np.exp(log_likelihood_RS1 - log_likelihood_RS1.max())
    p_flipped_RSN = flip_rates_R11 * (1 - p_correct_SN) / p_rating_RSN
    return (posterior_RS1 * p_flipped_RSN).sum((0, 1)) / posterior_RS1.sum()


def compute_intransitivity(pairs: Sequence[Preference]) -> np.ndarray:
    """Return the log-likelihood of the choices among several outputs of a prompt under each flip rate, R.

    A rater who follows any order is never intransitive; the prior over the orders of a prompt's outputs is uniform.
    Pairs from the same rating, such as stars, cannot contradict each other and carry no evidence.
    """
    event_counts = Counter(event for pair in pairs for event in pair.events)
    groups: dict[str, list[Preference]] = {}
    for pair in pairs:
        if all(event_counts[event] == 1 for event in pair.events):
            groups.setdefault(pair.key, []).append(pair)
    log_likelihood_R = np.zeros(len(FLIP_RATES_R))
    for group in groups.values():
        most_compared = Counter(output for pair in group for output in (pair.chosen, pair.rejected)).most_common(
            MAX_RANKED_OUTPUTS
        )
        position = {output: n for n, (output, _) in enumerate(most_compared)}
        edges = [
            (position[pair.chosen], position[pair.rejected])
            for pair in group
            if pair.chosen in position and pair.rejected in position
        ]
        ranks_O = np.array(list(permutations(range(len(position)))))  # of each output, in each order
        num_flips_O = sum(ranks_O[:, chosen] > ranks_O[:, rejected] for chosen, rejected in edges) + np.zeros(
            len(ranks_O)
        )
        p_choices_RO = FLIP_RATES_R[:, None] ** num_flips_O * (1 - FLIP_RATES_R[:, None]) ** (len(edges) - num_flips_O)
        log_likelihood_R += np.log(p_choices_RO.mean(1) + 1e-300)
    return log_likelihood_R
