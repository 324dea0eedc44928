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

from genloom.learn.rewarding import Seen
from genloom.rate.preferences import Preference

DOUBTFUL = 0.4  # a pair that is wrong as likely as that says less than it confuses
SHARES_R = np.linspace(0, 0.48, 25)  # of ratings that are turned by chance
ORDERED = 5  # outputs of a prompt, those that were compared most, whose orders are all looked at
CONTRADICTED = "a judge fitted to the other ratings would have chosen the other answer"


def contradicted(train: Seen | None) -> tuple[Preference, ...]:
    """The pairs to leave out; none where judges are not shown to know the raters' taste better than a coin."""
    if train is None or not train.pairs:
        return ()
    _, margins_N = train.apart
    right = float((margins_N > 0).mean())
    if right < 0.5 + 2 * (0.25 / len(margins_N)) ** 0.5:  # by two standard errors
        return ()
    wrong_N = doubted(margins_N, in_circles(train.pairs))
    return tuple(pair for pair, wrong in zip(train.pairs, wrong_N, strict=True) if wrong > DOUBTFUL)


def doubted(margins_N: np.ndarray, circles_R: np.ndarray | float = 0.0) -> np.ndarray:
    """How likely each pair is the wrong way round, N, by the judge's margins and what circles say of each share.

    A share of the ratings is taken to be turned by chance, however far apart both outputs are, and the rest to follow
    the judge's margins as Bradley and Terry have it. The mean over all shares below a half and all slopes, each as
    likely as it makes the ratings.
    """
    shares_R11, slopes_S1 = SHARES_R[:, None, None], np.geomspace(0.05, 20, 40)[:, None]
    right_SN = 1 / (1 + np.exp(-np.clip(slopes_S1 * margins_N, -50, 50)))
    told_RSN = (1 - shares_R11) * right_SN + shares_R11 * (1 - right_SN)
    likely_RS1 = np.log(told_RSN + 1e-12).sum(2, keepdims=True) + np.reshape(circles_R, (-1, 1, 1))
    weight_RS1 = np.exp(likely_RS1 - likely_RS1.max())
    return (weight_RS1 * shares_R11 * (1 - right_SN) / told_RSN).sum((0, 1)) / weight_RS1.sum()


def in_circles(pairs: Sequence[Preference]) -> np.ndarray:
    """How likely each share of turned ratings makes the choices among several outputs of a prompt, as logarithms, R.

    Whoever keeps to some order, whatever it is, never goes in circles; before anything was rated, all orders of a
    prompt's outputs are as likely. Pairs that come of the same rating, as those of stars do, cannot contradict each
    other and tell nothing.
    """
    spoken = Counter(event for pair in pairs for event in pair.events)
    groups: dict[str, list[Preference]] = {}
    for pair in pairs:
        if all(spoken[event] == 1 for event in pair.events):
            groups.setdefault(pair.prompt, []).append(pair)
    found_R = np.zeros(len(SHARES_R))
    for group in groups.values():
        compared = Counter(output for pair in group for output in (pair.win, pair.lose)).most_common(ORDERED)
        place = {output: n for n, (output, _) in enumerate(compared)}
        edges = [(place[pair.win], place[pair.lose]) for pair in group if pair.win in place and pair.lose in place]
        ranks_O = np.array(list(permutations(range(len(place)))))  # of each output, in each order
        turned_O = sum(ranks_O[:, win] > ranks_O[:, lose] for win, lose in edges) + np.zeros(len(ranks_O))
        told_RO = SHARES_R[:, None] ** turned_O * (1 - SHARES_R[:, None]) ** (len(edges) - turned_O)
        found_R += np.log(told_RO.mean(1) + 1e-300)
    return found_R
