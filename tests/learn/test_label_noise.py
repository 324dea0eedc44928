"""Noisy labels are found by out-of-sample predictions, and by intransitive choices."""

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
SEEN = 8  # features of the outputs that are compared with several others


def make_pairs(flip_rate: float, seed: int = 0) -> tuple[PairFeatures, set[int]]:
    """Pairs rated by one hidden direction of the features, and which of them are flipped."""
    rng, np_rng = random.Random(seed), np.random.default_rng(seed)
    taste_F = np_rng.normal(size=FEATURES)
    one_NF, two_NF = np_rng.normal(size=(2, PAIRS, FEATURES))
    better_N = (one_NF - two_NF) @ taste_F > 0
    flipped = {n for n in range(PAIRS) if rng.random() < flip_rate}
    first_N1 = (better_N ^ np.isin(np.arange(PAIRS), list(flipped)))[:, None]
    pairs = tuple(Preference(f"prompt {n // 3}", f"{n}a", f"{n}b", 1.0, (str(n),)) for n in range(PAIRS))
    return PairFeatures(pairs, np.where(first_N1, one_NF, two_NF), np.where(first_N1, two_NF, one_NF)), flipped


def test_what_is_left_is_cleaner_than_what_was_make_pairs() -> None:
    before, after = [], []
    for seed in range(6):
        features, flipped = make_pairs(0.3, seed)
        left = set(range(PAIRS)) - {int(pair.events[0]) for pair in find_mislabelled(features)}
        before.append(len(flipped) / PAIRS)
        after.append(len(left & flipped) / len(left))
        assert after[-1] <= before[-1]
        assert len(left) > 0.5 * PAIRS
    assert np.mean(after) < 0.23 < 0.28 < np.mean(before)


def test_few_pairs_of_a_careful_rater_are_left_out() -> None:
    features, _ = make_pairs(0.0)
    assert len(find_mislabelled(features)) < 0.2 * PAIRS


def test_no_pairs_of_random_ratings_are_left_out() -> None:
    """Without a learnable preference the heads have no skill, and their doubts mean nothing."""
    left_out = [len(find_mislabelled(make_pairs(0.5, seed)[0])) for seed in range(5)]
    assert left_out.count(0) >= 3


def test_a_prompt_is_not_scored_by_a_head_fitted_to_it() -> None:
    features, _ = make_pairs(0.3)
    other = np.array([pair.prompt == "prompt 7" for pair in features.pairs])[:, None]
    changed = replace(
        features,
        chosen_NF=np.where(other, features.rejected_NF, features.chosen_NF),
        rejected_NF=np.where(other, features.chosen_NF, features.rejected_NF),
    )
    here = other[:, 0]
    np.testing.assert_allclose(
        changed.cross_validate_margins(1.0)[here], -features.cross_validate_margins(1.0)[here], atol=1e-6
    )


def test_without_pairs_nothing_is_left_out() -> None:
    assert find_mislabelled(None) == ()
    features, _ = make_pairs(0.0)
    assert find_mislabelled(features.select_pairs([0])) == ()


def test_a_weak_head_leaves_out_few_correct_pairs() -> None:
    """The small margins of a weak head contradict a third of the ratings, but are little evidence against each."""
    margins_N = np.random.default_rng(0).normal(0.4, 1.0, 400)
    assert (margins_N <= 0).mean() > 0.3
    assert (compute_p_wrong(margins_N) > MAX_P_WRONG).mean() < 0.2


def test_ratings_that_contradict_confident_predictions_are_doubted() -> None:
    np_rng = np.random.default_rng(0)
    is_flipped_N = np_rng.random(400) < 0.3
    margins_N = np.abs(np_rng.normal(0, 4, 400)) * np.where(is_flipped_N, -1, 1)
    p_wrong_N = compute_p_wrong(margins_N)
    assert p_wrong_N[is_flipped_N].mean() > 0.7 > 0.2 > p_wrong_N[~is_flipped_N].mean()
    assert np.all((p_wrong_N >= 0) & (p_wrong_N <= 1))


def make_comparisons(flip_rate: float, seed: int, unseen_std: float) -> tuple[PairFeatures, set[int]]:
    """Four outputs per prompt, all pairs rated; a part of what the rater sees is not in the features."""
    rng, np_rng = random.Random(seed), np.random.default_rng(seed)
    taste_F = np_rng.normal(size=SEEN)
    pairs, wins, losses, flipped = [], [], [], set[int]()
    for prompt in range(36):
        shown_4F = np_rng.normal(size=(4, SEEN))
        worth_4 = shown_4F @ taste_F / SEEN**0.5 + unseen_std * np_rng.normal(size=4)
        for one, other in combinations(range(4), 2):
            changed = rng.random() < flip_rate
            win, lose = (one, other) if (worth_4[one] > worth_4[other]) != changed else (other, one)
            if changed:
                flipped.add(len(pairs))
            pairs.append(Preference(f"prompt {prompt}", f"{prompt}.{win}", f"{prompt}.{lose}", 1.0, (str(len(pairs)),)))
            wins.append(shown_4F[win])
            losses.append(shown_4F[lose])
    return PairFeatures(tuple(pairs), np.array(wins), np.array(losses)), flipped


def test_transitive_ratings_are_trusted_even_if_the_head_is_blind() -> None:
    believed, doubtful = 0, 0
    for seed in range(3):
        features, _ = make_comparisons(0.0, seed, unseen_std=2.0)
        believed += len(find_mislabelled(features))
        doubtful += int((compute_p_wrong(features.cross_validation[1]) > MAX_P_WRONG).sum())
    assert doubtful > 30 > 3 >= believed


def test_intransitive_ratings_are_doubted() -> None:
    for seed in range(3):
        features, flipped = make_comparisons(0.3, seed, unseen_std=0.0)
        left = set(range(len(features.pairs))) - {int(pair.events[0]) for pair in find_mislabelled(features)}
        assert len(left & flipped) / len(left) < 0.6 * len(flipped) / len(features.pairs)


def test_intransitivity_reveals_the_flip_rate() -> None:
    for flip_rate in (0.0, 0.1, 0.3):
        found_R = np.mean(
            [compute_intransitivity(make_comparisons(flip_rate, seed, 1.0)[0].pairs) for seed in range(5)], 0
        )
        assert abs(FLIP_RATES_R[found_R.argmax()] - flip_rate) <= 0.06


def test_single_comparisons_and_stars_are_no_evidence_of_intransitivity() -> None:
    """Pairs from the same two ratings agree with each other by construction."""
    single = tuple(Preference(f"prompt {n}", "a", "b", 1.0, (str(n),)) for n in range(9))
    np.testing.assert_allclose(np.ptp(compute_intransitivity(single)), 0, atol=1e-9)
    stars = tuple(
        Preference(f"prompt {n}", win, lose, 1.0, (f"{n}{win}", f"{n}{lose}"))
        for n in range(9)
        for win, lose in combinations("abc", 2)
    )
    np.testing.assert_allclose(np.ptp(compute_intransitivity(stars)), 0, atol=1e-9)


def test_more_outputs_than_are_ranked() -> None:
    many = tuple(
        Preference("one", str(win), str(lose), 1.0, (f"{win} {lose}",)) for win, lose in combinations(range(12), 2)
    )
    assert FLIP_RATES_R[compute_intransitivity(many).argmax()] == 0
