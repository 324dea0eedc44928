"""The gate promotes only what is proved; simulations show how often it errs."""

import math

import numpy as np
import pytest

from genloom.rate.gate import (
    MIN_PROMPTS,
    Measure,
    average_by_prompt,
    compute_alpha_left,
    decide_promotion,
    measure_scores,
    measure_win_rate,
)
from tests.errors import raises_code


def regression(champion, challenger, tolerance=0.0, name="bits per byte"):
    return measure_scores(name, "regression", champion, challenger, "lower", tolerance)


def won(wins, count, name="held-out ratings"):
    return measure_win_rate(name, [1.0] * wins + [0.0] * (count - wins))


def test_a_proven_gain_is_promoted():
    decision = decide_promotion([won(30, 40), regression([2.0] * 30, [2.0] * 30)])
    assert decision.should_promote
    [reason] = decision.reasons
    assert "75 % [59, 87] of 40" in reason


def test_an_insignificant_gain_is_not_promoted():
    decision = decide_promotion([won(23, 40)])
    assert not decision.should_promote
    assert len(decision.reasons) == 1


def test_too_few_prompts_are_no_proof():
    decision = decide_promotion([won(9, 9)])
    assert not decision.should_promote
    assert "9" in decision.reasons[0]
    assert str(MIN_PROMPTS) in decision.reasons[0]
    assert decide_promotion([won(10, 10)]).should_promote


def test_without_held_out_ratings_there_is_no_promotion():
    decision = decide_promotion([regression([2.0] * 30, [1.0] * 30)])
    assert not decision.should_promote
    assert len(decision.reasons) == 1


def test_a_regression_blocks_promotion_and_is_named():
    text = np.random.default_rng(0).normal(2.0, 0.3, 50)
    decision = decide_promotion([won(38, 40), regression(text, text * 1.05, 0.04)])
    assert not decision.should_promote
    assert decision.reasons[1].startswith("bits per byte ")
    assert decide_promotion([won(38, 40), regression(text, text * 1.01, 0.04)]).should_promote, (
        "one within the tolerance does not"
    )


def test_every_proof_must_hold():
    assert not decide_promotion([won(38, 40), won(21, 40, "the other rater")]).should_promote


def test_preference_that_rises_while_a_check_falls_is_an_alarm():
    """On too few prompts to be significant."""
    check = measure_scores("valid JSON", "check", [1, 1, 1, 1, 0], [1, 0, 1, 0, 0])
    decision = decide_promotion([won(38, 40), check])
    assert decision.should_promote
    assert len(decision.alarms) == 1
    assert "valid JSON" in decision.alarms[0]
    assert "0.8 → 0.4" in decision.alarms[0]
    assert not decide_promotion([won(10, 40), check]).alarms


def test_measures_with_the_same_name_are_a_bug():
    with pytest.raises(AssertionError):
        decide_promotion([won(1, 2), won(1, 2)])


def test_lower_is_better_if_the_direction_says_so():
    measure = regression([2.0, 2.2, 2.1], [1.9, 2.0, 2.0])
    assert measure.gain == pytest.approx(0.4 / 3)
    assert (measure.champion, measure.challenger) == (pytest.approx(2.1), pytest.approx(5.9 / 3))


@pytest.mark.parametrize(
    ("champion", "challenger", "code"),
    [
        ([1.0, 1.0], [1.0, 2.0, 3.0], "rate.unpaired_scores"),
        ([], [], "rate.unpaired_scores"),
        ([1.0], [1.0], "rate.unpaired_scores"),
        ([math.nan, 1.0], [1.0, 1.0], "rate.not_finite"),
        ([1.0, 1.0], [math.inf, 1.0], "rate.not_finite"),
    ],
)
def test_scores_that_do_not_match_or_are_not_finite_are_refused(champion, challenger, code):
    with raises_code(code, name="valid JSON"):
        measure_scores("valid JSON", "check", champion, challenger)


@pytest.mark.parametrize("outcomes", [[], [1.5], [-0.1]])
def test_outcomes_out_of_range_are_refused(outcomes):
    with raises_code("rate.bad_outcomes", name="ratings"):
        measure_win_rate("ratings", outcomes)


def test_answers_to_the_same_prompt_count_as_one():
    assert average_by_prompt(["a", "b", "a"], [1.0, 0.5, 0.0]) == [0.5, 0.5]


def test_random_ratings_promote_in_at_most_5_percent():
    rng = np.random.default_rng(1)
    for count in (10, 20, 40, 80):
        promoted = [
            decide_promotion([measure_win_rate("ratings", rng.integers(0, 2, count))]).should_promote
            for _ in range(500)
        ]
        assert np.mean(promoted) <= 0.05


def test_random_ratings_with_ties_and_noisy_measures_promote_no_more():
    rng = np.random.default_rng(2)
    promoted = []
    for _ in range(300):
        ratings = measure_win_rate("ratings", rng.choice([0.0, 0.5, 1.0], 30))
        score = measure_scores("reward", "reward", rng.normal(size=30), rng.normal(size=30), is_proof=True)
        promoted.append(decide_promotion([ratings, score]).should_promote)
    assert np.mean(promoted) <= 0.05


@pytest.mark.parametrize(("rate", "count"), [(0.7, 60), (0.75, 40), (0.65, 100)])
def test_a_real_gain_is_detected_in_80_percent(rate, count):
    rng = np.random.default_rng(3)
    promoted = [
        decide_promotion([measure_win_rate("ratings", rng.uniform(size=count) < rate)]).should_promote
        for _ in range(300)
    ]
    assert np.mean(promoted) >= 0.8


def test_a_measure_at_its_tolerance_is_not_a_regression():
    measure = Measure("x", "check", 1.0, 0.9, -0.1, -0.15, -0.05, 50, tolerance=0.1)
    assert not measure.has_regressed_significantly


def test_later_challengers_need_more_evidence():
    """With random ratings, up to twelve challengers of one champion promote in at most 5 % of cases together."""
    rng = np.random.default_rng(4)
    ever = [
        any(
            decide_promotion(
                [measure_win_rate("ratings", rng.integers(0, 2, 20), alpha=compute_alpha_left(k))]
            ).should_promote
            for k in range(12)
        )
        for _ in range(300)
    ]
    assert 0 < np.mean(ever) <= 0.05
    assert sum(compute_alpha_left(k) for k in range(50)) / 2 <= 0.05
    assert (
        measure_win_rate("ratings", [1.0] * 14 + [0.0] * 6, alpha=compute_alpha_left(3)).low
        < measure_win_rate("ratings", [1.0] * 14 + [0.0] * 6).low
    )
    [reason] = decide_promotion(
        [measure_win_rate("ratings", [1.0] * 15 + [0.0] * 5, alpha=compute_alpha_left(2))]
    ).reasons
    assert "98.75 %" in reason
    assert "2" in reason
