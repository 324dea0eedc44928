"""Multinomial logistic regression, with the strength of its regularisation chosen by cross-validation.

Shape letters: N texts, F features, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

L2_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
NUM_FOLDS = 5


@dataclass(frozen=True)
class LogisticRegression:
    """Weights on standardised features."""

    mean_F: np.ndarray
    scale_F: np.ndarray
    weight_FC: np.ndarray
    bias_C: np.ndarray
    l2_strength: float

    def predict_probabilities(self, features_NF: np.ndarray) -> np.ndarray:
        """Return the probability of each label, N C."""
        logits_NC = self._standardize(features_NF) @ self.weight_FC + self.bias_C
        odds_NC = np.exp(logits_NC - logits_NC.max(1, keepdims=True))
        return odds_NC / odds_NC.sum(1, keepdims=True)

    def _standardize(self, features_NF: np.ndarray) -> np.ndarray:
        return (features_NF - self.mean_F) / self.scale_F


@dataclass(frozen=True)
class CrossValidatedFit:
    """A regression on all rows, and for each row the probabilities by one that did not see its fold."""

    regression: LogisticRegression
    held_out_NC: np.ndarray


def fit_cross_validated(features_NF: np.ndarray, targets_N: np.ndarray, num_labels: int) -> CrossValidatedFit:
    """Fit with the strength that has the lowest loss on held-out folds, which have equal shares of each label."""
    folds_N = assign_folds(targets_N, min(NUM_FOLDS, int(np.bincount(targets_N).min())))
    best: tuple[float, float, np.ndarray] | None = None
    for strength in L2_STRENGTHS:
        held_out_NC = np.full((len(targets_N), num_labels), 1 / num_labels)
        for fold in range(int(folds_N.max()) + 1) if folds_N.max() > 0 else ():
            is_out = folds_N == fold
            fit = fit_logistic(features_NF[~is_out], targets_N[~is_out], num_labels, strength)
            held_out_NC[is_out] = fit.predict_probabilities(features_NF[is_out])
        loss = float(-np.log(held_out_NC[np.arange(len(targets_N)), targets_N] + 1e-12).mean())
        if best is None or loss <= best[0]:  # of equal ones the strongest
            best = loss, strength, held_out_NC
    assert best is not None
    return CrossValidatedFit(fit_logistic(features_NF, targets_N, num_labels, best[1]), best[2])


def assign_folds(targets_N: np.ndarray, num_folds: int) -> np.ndarray:
    """Return the fold of each row; the rows of a label are dealt in turn, in their order."""
    folds_N = np.zeros(len(targets_N), np.int64)
    for label in np.unique(targets_N):
        rows = np.flatnonzero(targets_N == label)
        folds_N[rows] = np.arange(len(rows)) % max(num_folds, 1)
    return folds_N


def fit_logistic(
    features_NF: np.ndarray, targets_N: Sequence[int] | np.ndarray, num_labels: int, l2_strength: float
) -> LogisticRegression:
    """Fit the weights of maximal posterior probability under a Gaussian prior; the loss is convex."""
    import torch

    mean_F, scale_F = features_NF.mean(0), features_NF.std(0) + 1e-6
    x_NF = torch.from_numpy(((features_NF - mean_F) / scale_F).astype(np.float64))
    num_features = x_NF.shape[1]
    y_N = torch.from_numpy(np.asarray(targets_N, np.int64))
    weight_FC = torch.zeros(num_features, num_labels, dtype=torch.float64, requires_grad=True)
    bias_C = torch.zeros(num_labels, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight_FC, bias_C], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        solver.zero_grad()
        logits_NC = x_NF @ weight_FC / num_features**0.5 + bias_C
        loss = torch.nn.functional.cross_entropy(logits_NC, y_N)
        loss = loss + l2_strength * weight_FC.square().sum() / num_features
        loss.backward()
        return loss

    untyped_closure: Any = closure
    solver.step(untyped_closure)
    return LogisticRegression(
        mean_F,
        scale_F,
        weight_FC.detach().numpy() / num_features**0.5,
        bias_C.detach().numpy(),
        l2_strength,
    )
