"""Ratings that the others contradict are found without having been learned by heart."""

import random
from dataclasses import replace
from itertools import combinations

import numpy as np

from genloom.learn.label_noise import (
    FLIP_RATES_R,
    MAX_P_WRONG,
    compute_intransitivity,
    compute_p_wrong,
    find_mislabelled,
)
from genloom.learn.reward_model import PairFeatures
from genloom.rate.preferences import Preference

PAIRS, FEATURES = 160, 20
SEEN = 8  # features of outputs that are compared with several others


def rated(flipped: float, seed: int = 0) -> tuple[PairFeatures, set[int]]:
    """Pairs rated by one hidden direction of the features, and which of them are the wrong way round."""
    draw, world = random.Random(seed), np.random.default_rng(seed)
    taste_F = world.normal(size=FEATURES)
    one_NF, two_NF = world.normal(size=(2, PAIRS, FEATURES))
    better_N = (one_NF - two_NF) @ taste_F > 0
    wrong = {n for n in range(PAIRS) if draw.random() < flipped}
    first_N1 = (better_N ^ np.isin(np.arange(PAIRS), list(wrong)))[:, None]
    pairs = tuple(Preference(f"prompt {n // 3}", f"{n}a", f"{n}b", 1.0, (str(n),)) for n in range(PAIRS))
    return PairFeatures(pairs, np.where(first_N1, one_NF, two_NF), np.where(first_N1, two_NF, one_NF)), wrong


def test_what_is_left_is_cleaner_than_what_was_rated() -> None:
    before, after = [], []
    for seed in range(6):
        seen, wrong = rated(0.3, seed)
        left = set(range(PAIRS)) - {int(pair.events[0]) for pair in find_mislabelled(seen)}
        before.append(len(wrong) / PAIRS)
        after.append(len(left & wrong) / len(left))
        assert after[-1] <= before[-1]
        assert len(left) > 0.5 * PAIRS
    assert np.mean(after) < 0.23 < 0.28 < np.mean(before)


def test_of_a_careful_rater_little_is_left_out() -> None:
    seen, _ = rated(0.0)
    assert len(find_mislabelled(seen)) < 0.2 * PAIRS


def test_of_a_coin_everything_is_kept() -> None:
    """Where no taste is shown, judges have nothing to go by, and what they would leave out says nothing."""
    left_out = [len(find_mislabelled(rated(0.5, seed)[0])) for seed in range(5)]
    assert left_out.count(0) >= 3


def test_a_prompt_is_not_judged_by_its_own_ratings() -> None:
    seen, _ = rated(0.3)
    other = np.array([pair.prompt == "prompt 7" for pair in seen.pairs])[:, None]
    turned = replace(
        seen,
        win_NF=np.where(other, seen.rejected_NF, seen.chosen_NF),
        lose_NF=np.where(other, seen.chosen_NF, seen.rejected_NF),
    )
    here = other[:, 0]
    np.testing.assert_allclose(
        turned.cross_validate_margins(1.0)[here], -seen.cross_validate_margins(1.0)[here], atol=1e-6
    )


def test_nothing_is_left_out_of_nothing() -> None:
    assert find_mislabelled(None) == ()
    seen, _ = rated(0.0)
    assert find_mislabelled(seen.select_pairs([0])) == ()


def test_few_that_a_weak_judge_is_unsure_of_are_left_out_of_right_ones() -> None:
    """Margins as small as the judge is weak contradict a third of the ratings, and say little against each."""
    margins_N = np.random.default_rng(0).normal(0.4, 1.0, 400)
    assert (margins_N <= 0).mean() > 0.3
    assert (compute_p_wrong(margins_N) > MAX_P_WRONG).mean() < 0.2


def test_where_the_surest_verdicts_are_contradicted_ratings_are_doubted() -> None:
    world = np.random.default_rng(0)
    turned_N = world.random(400) < 0.3
    margins_N = np.abs(world.normal(0, 4, 400)) * np.where(turned_N, -1, 1)
    wrong_N = compute_p_wrong(margins_N)
    assert wrong_N[turned_N].mean() > 0.7 > 0.2 > wrong_N[~turned_N].mean()
    assert np.all((wrong_N >= 0) & (wrong_N <= 1))


def compared(flipped: float, seed: int, unseen: float) -> tuple[PairFeatures, set[int]]:
    """Four outputs a prompt, all pairs of them rated; of what the rater looks at, the judge does not see a part."""
    draw, world = random.Random(seed), np.random.default_rng(seed)
    taste_F = world.normal(size=SEEN)
    pairs, wins, losses, wrong = [], [], [], set[int]()
    for prompt in range(36):
        shown_4F = world.normal(size=(4, SEEN))
        worth_4 = shown_4F @ taste_F / SEEN**0.5 + unseen * world.normal(size=4)
        for one, other in combinations(range(4), 2):
            turned = draw.random() < flipped
            win, lose = (one, other) if (worth_4[one] > worth_4[other]) != turned else (other, one)
            if turned:
                wrong.add(len(pairs))
            pairs.append(Preference(f"prompt {prompt}", f"{prompt}.{win}", f"{prompt}.{lose}", 1.0, (str(len(pairs)),)))
            wins.append(shown_4F[win])
            losses.append(shown_4F[lose])
    return PairFeatures(tuple(pairs), np.array(wins), np.array(losses)), wrong


def test_who_never_goes_in_circles_is_believed_where_the_judge_sees_little() -> None:
    believed, doubtful = 0, 0
    for seed in range(3):
        seen, _ = compared(0.0, seed, unseen=2.0)
        believed += len(find_mislabelled(seen))
        doubtful += int((compute_p_wrong(seen.cross_validation[1]) > MAX_P_WRONG).sum())
    assert doubtful > 30 > 3 >= believed


def test_who_goes_in_circles_is_doubted() -> None:
    for seed in range(3):
        seen, wrong = compared(0.3, seed, unseen=0.0)
        left = set(range(len(seen.pairs))) - {int(pair.events[0]) for pair in find_mislabelled(seen)}
        assert len(left & wrong) / len(left) < 0.6 * len(wrong) / len(seen.pairs)


def test_circles_tell_how_many_ratings_are_turned() -> None:
    for flipped in (0.0, 0.1, 0.3):
        found_R = np.mean([compute_intransitivity(compared(flipped, seed, 1.0)[0].pairs) for seed in range(5)], 0)
        assert abs(FLIP_RATES_R[found_R.argmax()] - flipped) <= 0.06


def test_single_comparisons_and_stars_have_no_circles() -> None:
    """Pairs that two ratings speak in agree with each other by themselves, which proves no care."""
    single = tuple(Preference(f"prompt {n}", "a", "b", 1.0, (str(n),)) for n in range(9))
    np.testing.assert_allclose(np.ptp(compute_intransitivity(single)), 0, atol=1e-9)
    stars = tuple(
        Preference(f"prompt {n}", win, lose, 1.0, (f"{n}{win}", f"{n}{lose}"))
        for n in range(9)
        for win, lose in combinations("abc", 2)
    )
    np.testing.assert_allclose(np.ptp(compute_intransitivity(stars)), 0, atol=1e-9)


def test_more_outputs_than_have_their_orders_looked_at() -> None:
    many = tuple(
        Preference("one", str(win), str(lose), 1.0, (f"{win} {lose}",)) for win, lose in combinations(range(12), 2)
    )
    assert FLIP_RATES_R[compute_intransitivity(many).argmax()] == 0
