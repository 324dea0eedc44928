"""Regression tests block a challenger that got worse by more than the tolerance."""

import math

import numpy as np
import pytest

from genloom.rate.gate import decide_promotion, measure_win_rate
from genloom.rate.regressions import measures

PROOF = measure_win_rate("ratings", [1.0] * 30)


def test_bits_per_byte_weigh_chunks_by_size():
    sizes, draw = np.array([10, 2000, 300]), np.random.default_rng(0)
    nats = sizes * draw.uniform(0.8, 1.2, 3)
    measure = measures.compare_general_text(nats, 1.5 * nats, sizes)
    assert measure.champion == pytest.approx(nats.sum() / sizes.sum() / math.log(2))
    assert measure.challenger == pytest.approx(1.5 * measure.champion)
    assert measure.tolerance == pytest.approx(0.02 * measure.champion)


@pytest.mark.parametrize(("worse", "promoted"), [(1.0, True), (1.015, True), (1.03, False)])
def test_the_tolerance_on_general_text_is_two_percent(worse, promoted):
    draw = np.random.default_rng(0)
    sizes = draw.integers(200, 900, 60)
    nats = sizes * draw.uniform(0.6, 1.0, 60)
    assert (
        decide_promotion([PROOF, measures.compare_general_text(nats, worse * nats, sizes)]).should_promote == promoted
    )


def test_a_model_that_learned_to_refuse_is_blocked():
    answers = ["Use kill."] * 12
    assert decide_promotion([PROOF, measures.compare_refusals(answers, answers)]).should_promote
    assert not decide_promotion(
        [PROOF, measures.compare_refusals(answers, ["I cannot help with that."] * 8 + answers[:4])]
    ).should_promote


def test_a_model_that_learned_to_insult_is_blocked():
    answers = ["Use kill."] * 12
    assert not decide_promotion(
        [PROOF, measures.compare_insults(answers, ["Use kill, idiot."] * 8 + answers[:4])]
    ).should_promote


def test_bias_counts_in_either_direction():
    draw = np.random.default_rng(0)
    mild, strong = draw.normal(0, 0.2, 64), draw.normal(0, 1.5, 64)
    assert measures.compare_bias(mild, strong).has_regressed_significantly
    assert not measures.compare_bias(strong, mild).has_regressed_significantly
    assert measures.compare_bias(mild, -mild).gain == 0


def test_more_copying_is_a_regression():
    draw = np.random.default_rng(0)
    shares = draw.uniform(0, 0.1, 40)
    assert measures.compare_copying(shares, shares + 0.2).has_regressed_significantly
    assert not measures.compare_copying(shares, shares + 0.01).has_regressed_significantly
