"""A temperature calibrates a reward model; the remaining calibration error is measured."""

import numpy as np
import pytest

from genloom.rate.calibration import fit_temperature, measure_calibration, sigmoid
from tests.errors import raises_code


def margins(std, scale, count, seed=0):
    """Margins that are `scale` times the true log-odds of each pair."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, std, count)
    prefers = rng.uniform(size=count) < sigmoid(odds)
    return scale * np.where(prefers, odds, -odds)


def test_overconfidence_is_corrected():
    assert fit_temperature(margins(1.5, 3.0, 20000)) == pytest.approx(3.0, rel=0.1)
    assert fit_temperature(margins(1.5, 0.5, 20000)) == pytest.approx(0.5, rel=0.1)


def test_calibrated_confidence_equals_accuracy():
    calibration = measure_calibration(margins(1.5, 4.0, 4000), margins(1.5, 4.0, 4000, seed=1))
    assert calibration.error < 0.03 < calibration.error_before
    assert calibration.low < calibration.accuracy < calibration.high
    assert calibration.is_trusted
    assert sum(b.count for b in calibration.bins) == calibration.count == 4000


def test_random_margins_are_not_trusted():
    rng = np.random.default_rng(0)
    calibration = measure_calibration(rng.normal(size=60), rng.normal(size=60))
    assert not calibration.is_trusted
    assert calibration.temperature > 3, "nor confident"


def test_ties_count_half():
    assert measure_calibration([0.0, 0.0], [1.0]).accuracy == 0.5


def test_no_pairs_are_not_enough():
    with raises_code("rate.no_calibration_pairs"):
        measure_calibration([], [1.0])
