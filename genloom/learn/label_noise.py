"""Ratings that the others contradict: a judge fitted to the rest would have chosen the other way round.

Each training pair is judged by a head that was fitted without its prompt, so that it cannot have learned the rating by
heart (Northcutt et al. 2021, "Confident learning", which counts and prunes labels by out-of-sample predictions). A
judge errs too, and may not see at all what a taste is about. Whose error it is, two things tell: how often its surest
verdicts are contradicted, and how often the ratings contradict themselves by going in circles (a over b, b over c, c
over a; Kendall and Babington Smith 1940, "On the method of paired comparisons"), for which no judge is needed.

Shape letters: N pairs, R shares, S slopes, O orders.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np

from genloom.learn.reward_model import PairFeatures
from genloom.rate.preferences import Preference

MAX_P_WRONG = 0.4  # a pair that is wrong as likely as that says less than it confuses
FLIP_RATES_R = np.linspace(0, 0.48, 25)  # of ratings that are turned by chance
MAX_RANKED_OUTPUTS = 5  # outputs of a prompt, those that were compared most, whose orders are all looked at
MISLABELLED_REASON = "a judge fitted to the other ratings would have chosen the other answer"


def find_mislabelled(train: PairFeatures | None) -> tuple[Preference, ...]:
    """The pairs to leave out; none where judges are not shown to know the raters' taste better than a coin."""
    if train is None or not train.pairs:
        return ()
    _, margins_N = train.cross_validation
    accuracy = float((margins_N > 0).mean())
    if accuracy < 0.5 + 2 * (0.25 / len(margins_N)) ** 0.5:  # by two standard errors
        return ()
    p_wrong_N = compute_p_wrong(margins_N, compute_intransitivity(train.pairs))
    return tuple(pair for pair, p_wrong in zip(train.pairs, p_wrong_N, strict=True) if p_wrong > MAX_P_WRONG)


def compute_p_wrong(margins_N: np.ndarray, intransitivity_R: np.ndarray | float = 0.0) -> np.ndarray:
    """How likely each pair is the wrong way round, N, by the judge's margins and what circles say of each share.

    A share of the ratings is taken to be turned by chance, however far apart both outputs are, and the rest to follow
    the judge's margins as Bradley and Terry have it. The mean over all shares below a half and all slopes, each as
    likely as it makes the ratings.
    """
    flip_rates_R11, slopes_S1 = FLIP_RATES_R[:, None, None], np.geomspace(0.05, 20, 40)[:, None]
    p_correct_SN = 1 / (1 + np.exp(-np.clip(slopes_S1 * margins_N, -50, 50)))
    p_rating_RSN = (1 - flip_rates_R11) * p_correct_SN + flip_rates_R11 * (1 - p_correct_SN)
    log_likelihood_RS1 = np.log(p_rating_RSN + 1e-12).pooled_proj(2, keepdims=True) + np.reshape(
        intransitivity_R, (-1, 1, 1)
    )
    posterior_RS1 = np.exp(log_likelihood_RS1 - log_likelihood_RS1.max())
    return (posterior_RS1 * flip_rates_R11 * (1 - p_correct_SN) / p_rating_RSN).pooled_proj(
        (0, 1)
    ) / posterior_RS1.pooled_proj()


def compute_intransitivity(pairs: Sequence[Preference]) -> np.ndarray:
    """How likely each share of turned ratings makes the choices among several outputs of a prompt, as logarithms, R.

    Whoever keeps to some order, whatever it is, never goes in circles; before anything was rated, all orders of a
    prompt's outputs are as likely. Pairs that come of the same rating, as those of stars do, cannot contradict each
    other and tell nothing.
    """
    event_counts = Counter(event for pair in pairs for event in pair.events)
    groups: dict[str, list[Preference]] = {}
    for pair in pairs:
        if all(event_counts[event] == 1 for event in pair.events):
            groups.setdefault(pair.prompt, []).append(pair)
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
