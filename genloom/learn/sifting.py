"""Ratings that the others contradict: a judge fitted to the rest would have chosen the other way round.

Each training pair is judged by a head that was fitted without its prompt, so that it cannot have learned the rating by
heart (Northcutt et al. 2021, "Confident learning", which counts and prunes labels by out-of-sample predictions).
"""

from collections.abc import Sequence

import numpy as np

from genloom.learn.rewarding import Seen, surprise
from genloom.rate.preferences import Preference
from genloom.train import judging

FOLDS = 5
CONTRADICTED = "a judge fitted to the other ratings would have chosen the other answer"


def contradicted(train: Seen | None) -> tuple[Preference, ...]:
    """The pairs to leave out; none where judges are not shown to know the raters' taste better than a coin."""
    if train is None:
        return ()
    margins_N = min((apart(train, strength) for strength in judging.STRENGTHS), key=surprise)
    right = float((margins_N > 0).mean())
    if right < 0.5 + (0.25 / len(margins_N)) ** 0.5:  # by one standard error
        return ()
    return tuple(pair for pair, margin in zip(train.pairs, margins_N, strict=True) if margin <= 0)


def apart(train: Seen, strength: float) -> np.ndarray:
    """How far each pair's choice is right, by a judge fitted to the prompts of the other folds, N."""
    fold = {prompt: n % FOLDS for n, prompt in enumerate(sorted({pair.prompt for pair in train.pairs}))}
    folds_N = np.array([fold[pair.prompt] for pair in train.pairs])
    margins_N = np.zeros(len(train.pairs))
    for each in sorted(set(folds_N.tolist())):
        inside, outside = places(folds_N == each), places(folds_N != each)
        if outside:
            margins_N[inside] = train.only(inside).margins(train.only(outside).fitted(strength))
    return margins_N


def places(where_N: np.ndarray) -> Sequence[int]:
    return [int(n) for n in np.flatnonzero(where_N)]
