"""The gate lets through what is proved and nothing else: simulated often enough to know how often it errs."""

import math

import numpy as np
import pytest

from genloom.rate.gate import (
    Measure,
    alpha_left,
    average_by_prompt,
    bootstrap_interval,
    clopper_pearson,
    decide_promotion,
    e_values,
    measure_scores,
    measure_win_rate,
    student_t_quantile,
)


def regression(champion, challenger, allowed=0.0, name="bits per byte"):
    return measure_scores(name, "regression", champion, challenger, "lower", allowed)


def won(of, count, name="held-out ratings"):
    return measure_win_rate(name, [1.0] * of + [0.0] * (count - of))


def test_a_proven_gain_is_let_through():
    decision = decide_promotion([won(30, 40), regression([2.0] * 30, [2.0] * 30)])
    assert decision.should_promote
    assert decision.reasons == (
        "held-out ratings got better: the challenger wins 75 % [59, 87] of 40 held-out comparisons.",
    )


def test_what_is_not_shown_is_not_let_through():
    decision = decide_promotion([won(23, 40)])
    assert not decision.should_promote
    assert "not shown to be better" in decision.reasons[0]


def test_too_few_prompts_prove_nothing_however_clear():
    decision = decide_promotion([won(9, 9)])
    assert not decision.should_promote
    assert decision.reasons == ("held-out ratings rests on 9 held-out prompts, and 10 are the least that count.",)
    assert decide_promotion([won(10, 10)]).should_promote


def test_without_held_out_ratings_there_is_no_promotion():
    decision = decide_promotion([regression([2.0] * 30, [1.0] * 30)])
    assert not decision.should_promote
    assert "Nothing was measured" in decision.reasons[0]


def test_a_regression_is_fatal_and_named():
    text = np.random.default_rng(0).normal(2.0, 0.3, 50)
    decision = decide_promotion([won(38, 40), regression(text, text * 1.05, 0.04)])
    assert not decision.should_promote
    assert decision.reasons[1].startswith("bits per byte got worse: ")
    assert decide_promotion([won(38, 40), regression(text, text * 1.01, 0.04)]).should_promote, (
        "one within what is allowed is not"
    )


def test_every_proof_has_to_hold():
    assert not decide_promotion([won(38, 40), won(21, 40, "the other rater")]).should_promote


def test_taste_that_rises_while_a_check_falls_is_an_alarm():
    """Here on too few prompts to be fatal."""
    check = measure_scores("valid JSON", "check", [1, 1, 1, 1, 0], [1, 0, 1, 0, 0])
    decision = decide_promotion([won(38, 40), check])
    assert decision.should_promote
    assert len(decision.alarms) == 1
    assert decision.alarms[0].startswith("Taste rises while valid JSON falls: 0.8 → 0.4")
    assert not decide_promotion([won(10, 40), check]).alarms


def test_measures_of_one_name_are_a_mistake():
    with pytest.raises(ValueError, match="same name"):
        decide_promotion([won(1, 2), won(1, 2)])


def test_less_is_better_where_it_is_said():
    measure = regression([2.0, 2.2, 2.1], [1.9, 2.0, 2.0])
    assert measure.gain == pytest.approx(0.4 / 3)
    assert (measure.champion, measure.challenger) == (pytest.approx(2.1), pytest.approx(5.9 / 3))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([1.0, 1.0], [1.0, 2.0, 3.0]),
        ([], []),
        ([1.0], [1.0]),
        ([math.nan, 1.0], [1.0, 1.0]),
        ([1.0, 1.0], [math.inf, 1.0]),
    ],
)
def test_measurements_that_do_not_fit_are_refused(one, two):
    with pytest.raises(ValueError, match="valid JSON"):
        measure_scores("valid JSON", "check", one, two)


@pytest.mark.parametrize("outcomes", [[], [1.5], [-0.1]])
def test_outcomes_out_of_range_are_refused(outcomes):
    with pytest.raises(ValueError, match="must be from 0"):
        measure_win_rate("ratings", outcomes)


def test_answers_to_one_prompt_count_as_one():
    assert average_by_prompt(["a", "b", "a"], [1.0, 0.5, 0.0]) == [0.5, 0.5]


def test_the_interval_of_a_share_is_exact():
    """Clopper and Pearson's, from a table of the binomial."""
    assert clopper_pearson(9, 10) == (pytest.approx(0.5550, abs=1e-3), pytest.approx(0.9975, abs=1e-3))
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(0.3085, abs=1e-3))
    assert clopper_pearson(10, 10) == (pytest.approx(0.6915, abs=1e-3), 1.0)
    assert clopper_pearson(150, 200) == (pytest.approx(0.6840, abs=1e-3), pytest.approx(0.8084, abs=1e-3))


def test_students_points():
    assert [student_t_quantile(n) for n in (4, 9, 30, 1000)] == pytest.approx([2.776, 2.262, 2.042, 1.962], rel=0.01)


@pytest.mark.parametrize("count", [10, 40])
def test_bootstrap_intervals_hold_as_often_as_they_say(count):
    draw = np.random.default_rng(0)
    held = [low <= 0.5 <= high for low, high in (bootstrap_interval(draw.uniform(size=count)) for _ in range(200))]
    assert np.mean(held) > 0.92


def test_one_number_bounds_nothing():
    assert bootstrap_interval(np.array([3.0])) == (-math.inf, math.inf)


def test_random_ratings_promote_in_less_than_one_case_of_twenty():
    draw = np.random.default_rng(1)
    for count in (10, 20, 40, 80):
        promoted = [
            decide_promotion([measure_win_rate("ratings", draw.integers(0, 2, count))]).should_promote
            for _ in range(500)
        ]
        assert np.mean(promoted) <= 0.05


def test_random_ratings_with_ties_and_noisy_measures_promote_no_more():
    draw = np.random.default_rng(2)
    promoted = []
    for _ in range(300):
        ratings = measure_win_rate("ratings", draw.choice([0.0, 0.5, 1.0], 30))
        score = measure_scores("reward", "reward", draw.normal(size=30), draw.normal(size=30), is_proof=True)
        promoted.append(decide_promotion([ratings, score]).should_promote)
    assert np.mean(promoted) <= 0.05


@pytest.mark.parametrize(("rate", "count"), [(0.7, 60), (0.75, 40), (0.65, 100)])
def test_a_real_gain_is_found_in_four_cases_of_five(rate, count):
    draw = np.random.default_rng(3)
    promoted = [
        decide_promotion([measure_win_rate("ratings", draw.uniform(size=count) < rate)]).should_promote
        for _ in range(300)
    ]
    assert np.mean(promoted) >= 0.8


def test_who_looks_after_every_comparison_is_fooled_no_more_often():
    """By the interval alone it would be twice as often; by the evidence in one case of twenty at most."""
    draw, fooled, fooled_by_intervals = np.random.default_rng(4), 0, 0
    for _ in range(300):
        outcomes = draw.integers(0, 2, 150).astype(float)
        fooled += bool((e_values(outcomes) >= 20).any())
        fooled_by_intervals += any(won(int(outcomes[:n].sum()), n).is_better for n in range(10, 151, 5))
    assert fooled <= 15
    assert fooled_by_intervals > 30


def test_who_looks_finds_a_real_gain_all_the_same():
    draw = np.random.default_rng(5)
    found = [(e_values(draw.uniform(size=100) < 0.7) >= 20).any() for _ in range(300)]
    assert np.mean(found) >= 0.8


def test_evidence_is_asked_for_where_someone_looked():
    outcomes = [1.0] * 28 + [0.0] * 12
    assert measure_win_rate("ratings", outcomes).is_better
    looked = measure_win_rate("ratings", outcomes, is_sequential=True)
    assert looked.e_value is not None
    assert not looked.is_better
    assert "rate more" in decide_promotion([looked]).reasons[0]
    assert measure_win_rate("ratings", [1.0] * 34 + [0.0] * 6, is_sequential=True).is_better


def test_a_measure_at_its_bound_is_not_fatal():
    at = Measure("x", "check", 1.0, 0.9, -0.1, -0.15, -0.05, 50, tolerance=0.1)
    assert not at.has_regressed_significantly


def test_who_tries_often_has_to_show_more():
    """A coin's challengers against one champion, up to twelve rounds: what is ever promoted stays below a twentieth."""
    draw = np.random.default_rng(4)
    ever = [
        any(
            decide_promotion([measure_win_rate("ratings", draw.integers(0, 2, 20), alpha=alpha_left(k))]).should_promote
            for k in range(12)
        )
        for _ in range(300)
    ]
    assert 0 < np.mean(ever) <= 0.05
    assert sum(alpha_left(k) for k in range(50)) / 2 <= 0.05
    assert (
        measure_win_rate("ratings", [1.0] * 14 + [0.0] * 6, alpha=alpha_left(3)).low
        < measure_win_rate("ratings", [1.0] * 14 + [0.0] * 6).low
    )
    [reason] = decide_promotion([measure_win_rate("ratings", [1.0] * 15 + [0.0] * 5, alpha=alpha_left(2))]).reasons
    assert "an interval of 98.75 %, as 2 challengers came before" in reason
