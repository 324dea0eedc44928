"""A reward model on a stored model's own states: a Bradley-Terry head, fitted to pairs exactly, no network trained.

Shape letters: B rows, L length, D width, N answers, F features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genloom.model import Model
from genloom.objectives.answers import answered
from genloom.train.lessons import LOOKED_AT_ONCE, Rows

STRENGTHS = (
    0.01,
    0.03,
    0.1,
    0.3,
    1.0,
    3.0,
    10.0,
    30.0,
    100.0,
)  # of the pull to zero, a pair; the noisier the ratings, the more

Groups = tuple[tuple[int, float], ...]  # of features side by side: how many, and what say they have together


@dataclass(frozen=True)
class Judge:
    """Scores of answers; only their differences for one prompt mean anything."""

    mean_F: np.ndarray
    scale_F: np.ndarray
    weight_F: np.ndarray

    def scores(self, features_NF: np.ndarray) -> np.ndarray:
        return ((features_NF - self.mean_F) / self.scale_F) @ self.weight_F


def can_judge(model: Model) -> bool:
    """Whether the model's network shows its states."""
    return len(model.parts) == 1 and all(hasattr(part, "leave") for part in model.parts.values())


@torch.inference_mode()
def features(model: Model, prompts: Rows, answers: Rows) -> np.ndarray:
    """What the model has on its mind over each answer: its mean state and its last, and the answer's length, N F."""
    (network,) = model.parts.values()
    found: list[np.ndarray] = []
    order = np.argsort([len(p) + len(a) for p, a in zip(prompts, answers, strict=True)], kind="stable")
    for first in range(0, len(order), LOOKED_AT_ONCE):
        part = order[first : first + LOOKED_AT_ONCE]
        rows = [[np.array(side[n], np.int64) for n in part] for side in (prompts, answers)]
        batch = answered(*rows, model.design.length).map(lambda t: t.to(model.device))
        assert batch.mask is not None
        assert batch.lengths is not None
        h_BLD = network(batch.x, lengths=batch.lengths, leaves=False).float()
        mask_BL1 = batch.mask[..., None].float()
        mean_BD = (h_BLD * mask_BL1).sum(1) / mask_BL1.sum(1).clamp(min=1)
        last_BD = h_BLD[torch.arange(len(h_BLD)), batch.lengths - 1]
        size_B1 = mask_BL1.sum(1).clamp(min=1).log()
        found.append(torch.cat([mean_BD, last_BD, size_B1], 1).double().cpu().numpy())
    return np.concatenate(found)[np.argsort(order)]


def fitted(win_NF: np.ndarray, lose_NF: np.ndarray, weights: np.ndarray, strength: float, groups: Groups = ()) -> Judge:
    """The head that makes the raters' choices likeliest (Bradley and Terry 1952) under a Gaussian prior; convex.

    Features are measured by how far apart they are in pairs. A group has the say that was given to it, however many
    features are in it: a few of style count beside a thousand states.
    """
    every = np.concatenate([win_NF, lose_NF])
    mean_F, scale_F = every.mean(0), np.sqrt(np.square(win_NF - lose_NF).mean(0)) + 1e-6
    if groups:
        sizes, says = (np.array(each) for each in zip(*groups, strict=True))
        scale_F *= np.sqrt(np.repeat(sizes / says, sizes) * says.sum() / sizes.sum())
    gaps_NF = torch.from_numpy((win_NF - lose_NF) / scale_F / np.sqrt(every.shape[1]))
    share_N = torch.from_numpy(weights / weights.sum())
    # The best weights lie where the gaps do (the representer theorem), which has as many dimensions as there are pairs.
    within_FR, gaps_RN = torch.linalg.qr(gaps_NF.T)
    weight_R = torch.zeros(len(gaps_RN), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight_R], max_iter=100, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        solver.zero_grad()
        chosen = (share_N * torch.nn.functional.softplus(-weight_R @ gaps_RN)).sum()
        loss = chosen + strength * weight_R.square().sum() / every.shape[1]
        loss.backward()
        return loss

    step: Any = cost
    solver.step(step)
    weight_F = (within_FR @ weight_R.detach()).numpy()
    return Judge(mean_F, scale_F, weight_F / np.sqrt(every.shape[1]))
