"""A reward model on a stored model's hidden states: a Bradley–Terry head, fitted exactly, without training a network.

Shape letters: B rows, L length, D width, N answers, F features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genloom.capabilities import LogitsNetwork
from genloom.model import Model
from genloom.objectives.sft import build_completion_batch
from genloom.train.preference.dataset import REFERENCE_BATCH_SIZE, TokenRows

L2_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # per pair; noisier ratings need more

FeatureGroups = tuple[tuple[int, float], ...]  # consecutive features: their number and their joint weight


@dataclass(frozen=True)
class RewardHead:
    """A linear score of answers; only differences between answers to one prompt are meaningful."""

    mean_F: np.ndarray
    scale_F: np.ndarray
    weight_F: np.ndarray

    def score_features(self, features_NF: np.ndarray) -> np.ndarray:
        return ((features_NF - self.mean_F) / self.scale_F) @ self.weight_F


def can_fit_reward_head(model: Model) -> bool:
    """Return whether the model's network can return its hidden states."""
    return len(model.parts) == 1 and all(isinstance(part, LogitsNetwork) for part in model.parts.values())


@torch.inference_mode()
def extract_features(model: Model, prompts: TokenRows, answers: TokenRows) -> np.ndarray:
    """Return features N F of the answers: mean and last hidden state, and log length."""
    (network,) = model.parts.values()
    feature_batches: list[np.ndarray] = []
    order = np.argsort([len(p) + len(a) for p, a in zip(prompts, answers, strict=True)], kind="stable")
    for start in range(0, len(order), REFERENCE_BATCH_SIZE):
        indices = order[start : start + REFERENCE_BATCH_SIZE]
        token_rows = [[np.array(side[n], np.int64) for n in indices] for side in (prompts, answers)]
        batch = build_completion_batch(*token_rows, model.design.context_length).map(lambda t: t.to(model.device))
        assert batch.mask is not None
        assert batch.lengths is not None
        h_BLD = network(batch.x, lengths=batch.lengths, return_logits=False).float()
        mask_BL1 = batch.mask[..., None].float()
        mean_BD = (h_BLD * mask_BL1).sum(1) / mask_BL1.sum(1).clamp(min=1)
        last_BD = h_BLD[torch.arange(len(h_BLD)), batch.lengths - 1]
        log_length_B1 = mask_BL1.sum(1).clamp(min=1).log()
        feature_batches.append(torch.cat([mean_BD, last_BD, log_length_B1], 1).double().cpu().numpy())
    return np.concatenate(feature_batches)[np.argsort(order)]


def fit_reward_head(
    chosen_NF: np.ndarray, rejected_NF: np.ndarray, weights: np.ndarray, l2_strength: float, groups: FeatureGroups = ()
) -> RewardHead:
    """Fit the head of maximal posterior probability (Bradley and Terry 1952) under a Gaussian prior; it is convex.

    Features are scaled by their differences within pairs. A group of features has its joint weight whatever its size,
    so that a few style features count beside a thousand hidden states.
    """
    all_NF = np.concatenate([chosen_NF, rejected_NF])
    mean_F, scale_F = all_NF.mean(0), np.sqrt(np.square(chosen_NF - rejected_NF).mean(0)) + 1e-6
    if groups:
        sizes, group_weights = (np.array(column) for column in zip(*groups, strict=True))
        scale_F *= np.sqrt(np.repeat(sizes / group_weights, sizes) * group_weights.sum() / sizes.sum())
    margin_NF = torch.from_numpy((chosen_NF - rejected_NF) / scale_F / np.sqrt(all_NF.shape[1]))
    weight_N = torch.from_numpy(weights / weights.sum())
    # The optimal weights lie in the span of the margins (representer theorem), which has one dimension per pair.
    basis_FR, margin_RN = torch.linalg.qr(margin_NF.T)
    weight_R = torch.zeros(len(margin_RN), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight_R], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        nll = (weight_N * torch.nn.functional.softplus(-weight_R @ margin_RN)).sum()
        loss = nll + l2_strength * weight_R.square().sum() / all_NF.shape[1]
        loss.backward()
        return loss

    untyped_closure: Any = closure
    solver.step(untyped_closure)
    weight_F = (basis_FR @ weight_R.detach()).numpy()
    return RewardHead(mean_F, scale_F, weight_F / np.sqrt(all_NF.shape[1]))
