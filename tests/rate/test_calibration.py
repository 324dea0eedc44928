"""A judge's confidence is put right by a temperature, and what is left of the error is said."""

import numpy as np
import pytest

from genloom.rate.calibration import calibrate, fit_temperature, sigmoid


def margins(true_spread, said, count, seed=0):
    """Margins of a judge who says `said` times the log-odds that are true of each pair."""
    draw = np.random.default_rng(seed)
    odds = draw.normal(0, true_spread, count)
    prefers = draw.uniform(size=count) < sigmoid(odds)
    return said * np.where(prefers, odds, -odds)


def test_a_judge_who_exaggerates_is_cooled_down():
    assert fit_temperature(margins(1.5, 3.0, 20000)) == pytest.approx(3.0, rel=0.1)
    assert fit_temperature(margins(1.5, 0.5, 20000)) == pytest.approx(0.5, rel=0.1)


def test_calibration_makes_confidence_the_share_that_is_right():
    judged = calibrate(margins(1.5, 4.0, 4000), margins(1.5, 4.0, 4000, seed=1))
    assert judged.error < 0.03 < judged.error_before
    assert judged.low < judged.accuracy < judged.high
    assert judged.is_trusted
    assert sum(b.count for b in judged.bins) == judged.count == 4000


def test_a_judge_who_knows_nothing_is_not_trusted():
    draw = np.random.default_rng(0)
    judged = calibrate(draw.normal(size=60), draw.normal(size=60))
    assert not judged.is_trusted
    assert judged.temperature > 3, "nor sure of anything"


def test_ties_are_half_right():
    assert calibrate([0.0, 0.0], [1.0]).accuracy == 0.5


def test_no_pairs_are_not_enough():
    with pytest.raises(ValueError, match="rate more"):
        calibrate([], [1.0])
