"""Ratings that the others contradict are found without having been learned by heart."""

import random
from dataclasses import replace

import numpy as np
import pytest

from genloom.learn.rewarding import Seen
from genloom.learn.sifting import apart, contradicted
from genloom.rate.preferences import Preference

PAIRS, FEATURES = 160, 20


def rated(flipped: float, seed: int = 0) -> tuple[Seen, set[int]]:
    """Pairs rated by one hidden direction of the features, and which of them are the wrong way round."""
    draw, world = random.Random(seed), np.random.default_rng(seed)
    taste_F = world.normal(size=FEATURES)
    one_NF, two_NF = world.normal(size=(2, PAIRS, FEATURES))
    better_N = (one_NF - two_NF) @ taste_F > 0
    wrong = {n for n in range(PAIRS) if draw.random() < flipped}
    first_N1 = (better_N ^ np.isin(np.arange(PAIRS), list(wrong)))[:, None]
    pairs = tuple(Preference(f"prompt {n // 3}", f"{n}a", f"{n}b", 1.0, (str(n),)) for n in range(PAIRS))
    return Seen(pairs, np.where(first_N1, one_NF, two_NF), np.where(first_N1, two_NF, one_NF)), wrong


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_is_cleaner_than_what_was_rated(seed: int) -> None:
    seen, wrong = rated(0.3, seed)
    gone = {int(pair.events[0]) for pair in contradicted(seen)}
    left = set(range(PAIRS)) - gone
    assert len(left & wrong) / len(left) < 0.2 < 0.25 < len(wrong) / PAIRS
    assert len(left) > 0.5 * PAIRS


def test_of_a_careful_rater_little_is_left_out() -> None:
    seen, _ = rated(0.0)
    assert len(contradicted(seen)) < 0.2 * PAIRS


def test_of_a_coin_everything_is_kept() -> None:
    """Where no taste is shown, judges have nothing to go by, and what they would leave out says nothing."""
    left_out = [len(contradicted(rated(0.5, seed)[0])) for seed in range(5)]
    assert left_out.count(0) >= 3


def test_a_prompt_is_not_judged_by_its_own_ratings() -> None:
    seen, _ = rated(0.3)
    other = np.array([pair.prompt == "prompt 7" for pair in seen.pairs])[:, None]
    turned = replace(
        seen,
        win_NF=np.where(other, seen.lose_NF, seen.win_NF),
        lose_NF=np.where(other, seen.win_NF, seen.lose_NF),
    )
    here = other[:, 0]
    np.testing.assert_allclose(apart(turned, 1.0)[here], -apart(seen, 1.0)[here], atol=1e-6)


def test_nothing_is_left_out_of_nothing() -> None:
    assert contradicted(None) == ()
    seen, _ = rated(0.0)
    assert contradicted(seen.only([0])) == ()
