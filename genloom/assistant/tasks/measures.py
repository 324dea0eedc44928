"""Quality of classifications: accuracy, F1, and how far their probabilities are true, each with a 95 % interval.

Shape letters: N texts, C labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genloom.metrics.statistics import IntervalEstimate, compute_wilson_interval

NUM_BINS = 10
_NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class ClassificationQuality:
    """Measures of predicted probabilities against the labels that persons gave."""

    accuracy: IntervalEstimate
    f1: IntervalEstimate  # mean over the labels (macro)
    calibration_error: IntervalEstimate  # expected calibration error of the most probable label, in ten equal bins
    brier: IntervalEstimate  # sum of squares over the labels: 0 best, 2 worst
    count: int

    def to_json(self) -> dict[str, object]:
        measures = {name: getattr(self, name) for name in ("accuracy", "f1", "calibration_error", "brier")}
        return {
            **{name: {"mean": each.mean, "low": each.low, "high": each.high} for name, each in measures.items()},
            "count": self.count,
        }


def measure_classification(probabilities_NC: np.ndarray, targets_N: np.ndarray, seed: int = 0) -> ClassificationQuality:
    """Return the measures of probabilities; intervals are Wilson's for the accuracy, else bootstrapped over texts."""
    count, num_labels = probabilities_NC.shape
    predicted_N = probabilities_NC.argmax(1)
    brier_N = np.square(probabilities_NC - np.eye(num_labels)[targets_N]).sum(1)
    resamples = np.random.default_rng(seed).integers(count, size=(_NUM_RESAMPLES, count))

    def bootstrap(compute: Callable[[np.ndarray], float]) -> IntervalEstimate:
        values = [compute(rows) for rows in resamples]
        low, high = np.quantile(values, [0.025, 0.975])
        mean = float(compute(np.arange(count)))
        return IntervalEstimate(mean, min(float(low), mean), max(float(high), mean), count)

    return ClassificationQuality(
        compute_wilson_interval(float((predicted_N == targets_N).sum()), count),
        bootstrap(lambda rows: compute_macro_f1(predicted_N[rows], targets_N[rows], num_labels)),
        bootstrap(lambda rows: compute_calibration_error(probabilities_NC[rows], targets_N[rows])),
        bootstrap(lambda rows: float(brier_N[rows].mean())),
        count,
    )


def compute_macro_f1(predicted_N: np.ndarray, targets_N: np.ndarray, num_labels: int) -> float:
    """Return the mean of the F1 of the labels that occur."""
    scores = []
    for label in range(num_labels):
        num_right = int(((predicted_N == label) & (targets_N == label)).sum())
        num_both = int((predicted_N == label).sum() + (targets_N == label).sum())
        if num_both:
            scores.append(2 * num_right / num_both)
    return float(np.mean(scores)) if scores else 0.0


def compute_calibration_error(probabilities_NC: np.ndarray, targets_N: np.ndarray) -> float:
    """Return the expected calibration error (Naeini et al. 2015) of the most probable label."""
    confidence_N = probabilities_NC.max(1)
    is_right_N = probabilities_NC.argmax(1) == targets_N
    bins_N = np.minimum((confidence_N * NUM_BINS).astype(int), NUM_BINS - 1)
    error = 0.0
    for index in range(NUM_BINS):
        inside = bins_N == index
        if inside.any():
            error += inside.mean() * abs(float(is_right_N[inside].mean() - confidence_N[inside].mean()))
    return float(error)
