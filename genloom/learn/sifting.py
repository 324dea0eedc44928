"""Ratings that the others contradict: a judge fitted to the rest would have chosen the other way round.

Each training pair is judged by a head that was fitted without its prompt, so that it cannot have learned the rating by
heart (Northcutt et al. 2021, "Confident learning", which counts and prunes labels by out-of-sample predictions). A
judge errs too: how sure it is, and how often its surest verdicts are contradicted, tells whose error it is likely to
be.
"""

import numpy as np

from genloom.learn.rewarding import Seen
from genloom.rate.preferences import Preference

DOUBTFUL = 0.4  # a pair that is wrong as likely as that says less than it confuses
CONTRADICTED = "a judge fitted to the other ratings would have chosen the other answer"


def contradicted(train: Seen | None) -> tuple[Preference, ...]:
    """The pairs to leave out; none where judges are not shown to know the raters' taste better than a coin."""
    if train is None or not train.pairs:
        return ()
    _, margins_N = train.apart
    right = float((margins_N > 0).mean())
    if right < 0.5 + 2 * (0.25 / len(margins_N)) ** 0.5:  # by two standard errors
        return ()
    wrong_N = doubted(margins_N)
    return tuple(pair for pair, wrong in zip(train.pairs, wrong_N, strict=True) if wrong > DOUBTFUL)


def doubted(margins_N: np.ndarray) -> np.ndarray:
    """How likely each pair is the wrong way round, N.

    A share of the ratings is taken to be turned by chance, however far apart both outputs are, and the rest to follow
    the judge's margins as Bradley and Terry have it. The mean over all shares below a half and all slopes, each as
    likely as it makes the ratings.
    """
    shares_R11, slopes_S1 = np.linspace(0, 0.48, 25)[:, None, None], np.geomspace(0.05, 20, 40)[:, None]
    right_SN = 1 / (1 + np.exp(-np.clip(slopes_S1 * margins_N, -50, 50)))
    told_RSN = (1 - shares_R11) * right_SN + shares_R11 * (1 - right_SN)
    likely_RS1 = np.log(told_RSN + 1e-12).sum(2, keepdims=True)
    weight_RS1 = np.exp(likely_RS1 - likely_RS1.max())
    return (weight_RS1 * shares_R11 * (1 - right_SN) / told_RSN).sum((0, 1)) / weight_RS1.sum()
