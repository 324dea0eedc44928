"""The method of moving asymptotes on problems whose answers are known."""

import numpy as np
import pytest

from genloom.media.design.mechanics.mma import MovingAsymptotes


def test_svanbergs_cantilever_of_five_boxes() -> None:
    """Weight 0.0624 sum(x), sum(c / x**3) <= 1: 1.33996 (Svanberg 1987, example 1; Fleury)."""
    factors = np.array([61.0, 37, 19, 7, 1])
    variables = np.full(5, 5.0)
    asymptotes = MovingAsymptotes(np.full(5, 1.0), np.full(5, 10.0), move=0.5)
    for _ in range(30):
        constraint = np.array([(factors / variables**3).sum() - 1])
        slope = (-3 * factors / variables**4)[None]
        variables = asymptotes.step_variables(variables, np.full(5, 0.0624), constraint, slope)
    assert 0.0624 * variables.sum() == pytest.approx(1.33996, abs=1e-4)
    assert (factors / variables**3).sum() == pytest.approx(1, abs=1e-4)


def test_svanbergs_two_bar_truss() -> None:
    """Two constraints, one of them active: x = 1.41, 0.377, weight 1.51 (Svanberg 1987, example 2)."""

    def measure(x: np.ndarray) -> tuple[float, np.ndarray]:
        length = np.sqrt(1 + x[1] ** 2)
        stresses = [0.124 * length * (8 / x[0] + sign / (x[0] * x[1])) - 1 for sign in (1, -1)]
        return x[0] * length, np.array(stresses)

    x, asymptotes = np.array([1.5, 0.5]), MovingAsymptotes(np.array([0.2, 0.1]), np.array([4.0, 1.6]), move=0.2)
    for _ in range(40):
        weight, stresses = measure(x)
        slopes = [(np.array([measure(x + step)[0], *measure(x + step)[1]]) - [weight, *stresses]) / 1e-7
                  for step in 1e-7 * np.eye(2)]  # fmt: skip
        x = asymptotes.step_variables(x, *(lambda s: (s[0], stresses, s[1:]))(np.array(slopes).T))
    assert measure(x)[0] == pytest.approx(1.509, abs=2e-3)
    assert x == pytest.approx([1.41, 0.377], abs=0.01)


def test_variables_stay_within_their_bounds_and_moves() -> None:
    rng = np.random.default_rng(0)
    low, high, x = np.zeros(20), np.where(np.arange(20) < 5, 0.0, 1.0), np.full(20, 0.5)
    x[:5] = 0
    asymptotes = MovingAsymptotes(low, high, 0.2)
    for _ in range(8):
        new = asymptotes.step_variables(x, rng.normal(size=20), np.array([x.mean() - 0.4]), np.full((1, 20), 0.05))
        assert ((new >= low) & (new <= high)).all()
        assert np.abs(new - x).max() <= 0.2 + 1e-12
        x = new
