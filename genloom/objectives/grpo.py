"""Train on the model's own samples, each compared with the others for its prompt (GRPO, RLOO).

Shape letters: B batch, G groups (prompts), K samples per group.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from genloom.errors import GenloomError
from genloom.noise import Noise
from genloom.objectives.checks import check_settings
from genloom.objectives.reference import compute_implicit_reward
from genloom.objectives.wrapper import ObjectiveWrapper
from genloom.types import Loss, Parts, Phase, Rollouts


@dataclass(frozen=True)
class GRPO(ObjectiveWrapper):
    """A policy gradient for any objective whose loss is a likelihood; for a bound, only with on-policy rollouts."""

    reference: Parts = field(default_factory=dict)  # the model before training; empty if the batches have its NLL
    beta: float = 0.05  # penalty per nat of distance from the reference, in units of the advantage
    clip_range: float = 0.01  # relative change of the likelihood per token beyond which a rollout has no gradient

    def __post_init__(self) -> None:
        check_settings(
            self,
            {"beta": (self.beta >= 0, "at least 0"), "clip_range": (0 < self.clip_range < 1, "between 0 and 1")},
        )

    def loss(self, parts: Parts, batch: Rollouts, phase: Phase, noise: Noise) -> Loss:
        """Compute PPO's clipped surrogate (Schulman et al. 2017, equation 7) on the per-token ratio of whole answers.

        The ratio is that of GSPO (Zheng et al. 2025, equation 7), which needs only the loss of the base objective. Half
        the squared log-ratio has the gradient of the KL divergence from the reference (Liu et al. 2025, "Rethinking KL
        regularization in RLHF").
        """
        log_ratio_B, model_loss = compute_implicit_reward(self.base, parts, self.reference, batch.batch, phase, noise)
        num_terms_B = model_loss.num_terms.clamp(min=1)
        old_nll_B = model_loss.per_sample.detach() if batch.old_nll is None else batch.old_nll
        ratio_B = ((old_nll_B - model_loss.per_sample) / num_terms_B).exp()
        clipped_B = ratio_B.clamp(1 - self.clip_range, 1 + self.clip_range)
        surrogate_B = torch.minimum(ratio_B * batch.advantage, clipped_B * batch.advantage)
        per_sample = self.beta / 2 * log_ratio_B.square() / num_terms_B - surrogate_B
        metrics = {
            "log_ratio": log_ratio_B.mean().detach(),
            "clip_fraction": (ratio_B * batch.advantage > surrogate_B).float().mean().detach(),
        }
        if batch.reward is not None:
            metrics["reward"] = batch.reward.float().mean()
        return Loss(per_sample, torch.ones_like(surrogate_B), metrics)


def compute_advantages(rewards_GK: Tensor, estimator: Literal["grpo", "rloo"] = "grpo") -> Tensor:
    """Return how much better each sample is than its group, G K.

    "grpo": in standard deviations of the group (Shao et al. 2024, section 4.1.2). "rloo": in units of the reward, above
    the mean of the other samples (Ahmadian et al. 2024, equation 8). A group of equal rewards has no gradient.
    """
    _, K = rewards_GK.shape
    if K < 2:
        raise GenloomError("objectives.group_too_small", size=K)
    centered_GK = rewards_GK - rewards_GK.mean(1, keepdim=True)
    if estimator == "rloo":
        return centered_GK * K / (K - 1)
    return centered_GK / (rewards_GK.std(1, keepdim=True) + 1e-4)
