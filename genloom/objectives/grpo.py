"""Learn from one's own attempts, each judged against the others of its group (GRPO, RLOO).

Shape letters: B batch, G groups (prompts), K attempts a group.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.reference import compute_implicit_reward
from genloom.types import Batch, Condition, Loss, NetworkSpec, Objective, Parts, Phase, Rollouts


@dataclass(frozen=True)
class GRPO:
    """A policy gradient with any objective whose loss is a likelihood; for a bound, only with attempts just drawn."""

    base: Objective[Batch]
    reference: Parts = field(default_factory=dict)  # the model before it learned; none where the batches know it
    beta: float = 0.05  # price of a nat of distance from the reference, in units of the advantage
    clip_range: float = 0.01  # how far the likelihood a symbol may move, as a share, before an attempt says no more

    def __post_init__(self) -> None:
        if self.beta < 0 or not 0 < self.clip_range < 1:
            raise ValueError(
                "Of learning from own attempts, beta must be 0 or more and clip_range between 0 and 1, "
                f"got {self.beta} and {self.clip_range}."
            )

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.base.phases

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        return self.base.network_specs

    def loss(self, parts: Parts, batch: Rollouts, phase: Phase, noise: Noise) -> Loss:
        """The clipped surrogate of PPO (Schulman et al. 2017, equation 7) on the ratio a symbol of whole answers.

        The ratio is that of GSPO (Zheng et al. 2025, equation 7), which needs no more than the objective's own loss.
        Half the squared rise has the gradient of the KL divergence to the reference (Liu et al. 2025, "Rethinking KL
        regularization in RLHF").
        """
        log_ratio_B, model_loss = compute_implicit_reward(self.base, parts, self.reference, batch.batch, phase, noise)
        num_terms_B = model_loss.num_terms.clamp(min=1)
        old_nll_B = model_loss.per_sample.detach() if batch.old_nll is None else batch.old_nll
        ratio_B = ((old_nll_B - model_loss.per_sample) / num_terms_B).exp()
        clipped_B = ratio_B.clamp(1 - self.clip_range, 1 + self.clip_range)
        surrogate_B = torch.minimum(ratio_B * batch.advantage, clipped_B * batch.advantage)
        metrics = {
            "log_ratio": log_ratio_B.mean().detach(),
            "clip_fraction": (ratio_B * batch.advantage > surrogate_B).float().mean().detach(),
        }
        if batch.reward is not None:
            metrics["reward"] = batch.reward.float().mean()
        return Loss(
            self.beta / 2 * log_ratio_B.square() / num_terms_B - surrogate_B, torch.ones_like(surrogate_B), metrics
        )

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, params)


def compute_advantages(rewards_GK: Tensor, estimator: Literal["grpo", "rloo"] = "grpo") -> Tensor:
    """How much better each attempt did than its group, G K.

    "grpo" is in standard deviations of the group (Shao et al. 2024, section 4.1.2), "rloo" in rewards, above the mean
    of the others (Ahmadian et al. 2024, equation 8). A group whose attempts all did alike teaches nothing.
    """
    _, K = rewards_GK.shape
    if K < 2:
        raise ValueError("An attempt is judged against others for the same prompt: draw two or more.")
    centered_GK = rewards_GK - rewards_GK.mean(1, keepdim=True)
    if estimator == "rloo":
        return centered_GK * K / (K - 1)
    return centered_GK / (rewards_GK.std(1, keepdim=True) + 1e-4)
