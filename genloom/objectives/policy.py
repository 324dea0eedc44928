"""Learn from one's own attempts, each judged against the others of its group (GRPO, RLOO).

Shape letters: B batch, G groups (prompts), K attempts a group.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.reference import log_ratio
from genloom.types import Attempts, Batch, Condition, Loss, Objective, Parts, Role, Turn


@dataclass(frozen=True)
class Policy:
    """A policy gradient with any objective whose loss is a likelihood; for a bound, only with attempts just drawn."""

    base: Objective[Batch]
    reference: Parts = field(default_factory=dict)  # the model before it learned; none where the batches know it
    beta: float = 0.05  # price of a nat of distance from the reference, in units of the advantage
    clip: float = 0.01  # how far the likelihood a symbol may move, as a share, before an attempt says no more

    def __post_init__(self) -> None:
        if self.beta < 0 or not 0 < self.clip < 1:
            raise ValueError(
                "Of learning from own attempts, beta must be 0 or more and clip between 0 and 1, "
                f"got {self.beta} and {self.clip}."
            )

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.base.turns

    @property
    def roles(self) -> dict[str, Role]:
        return self.base.roles

    def loss(self, parts: Parts, batch: Attempts, turn: Turn, noise: Noise) -> Loss:
        """The clipped surrogate of PPO (Schulman et al. 2017, equation 7) on the ratio a symbol of whole answers.

        The ratio is that of GSPO (Zheng et al. 2025, equation 7), which needs no more than the objective's own loss.
        Half the squared rise has the gradient of the KL divergence to the reference (Liu et al. 2025, "Rethinking KL
        regularization in RLHF").
        """
        rise_B, own = log_ratio(self.base, parts, self.reference, batch.batch, turn, noise)
        units_B = own.units.clamp(min=1)
        drawn_B = own.per_sample.detach() if batch.before is None else batch.before
        ratio_B = ((drawn_B - own.per_sample) / units_B).exp()
        kept_B = ratio_B.clamp(1 - self.clip, 1 + self.clip)
        gain_B = torch.minimum(ratio_B * batch.advantage, kept_B * batch.advantage)
        metrics = {
            "rise": rise_B.mean().detach(),
            "clipped": (ratio_B * batch.advantage > gain_B).float().mean().detach(),
        }
        if batch.earned is not None:
            metrics["earned"] = batch.earned.float().mean()
        return Loss(self.beta / 2 * rise_B.square() / units_B - gain_B, torch.ones_like(gain_B), metrics)

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, controls)


def advantages(rewards_GK: Tensor, how: Literal["grpo", "rloo"] = "grpo") -> Tensor:
    """How much better each attempt did than its group, G K.

    "grpo" is in standard deviations of the group (Shao et al. 2024, section 4.1.2), "rloo" in rewards, above the mean
    of the others (Ahmadian et al. 2024, equation 8). A group whose attempts all did alike teaches nothing.
    """
    _, K = rewards_GK.shape
    if K < 2:
        raise ValueError("An attempt is judged against others for the same prompt: draw two or more.")
    above_GK = rewards_GK - rewards_GK.mean(1, keepdim=True)
    if how == "rloo":
        return above_GK * K / (K - 1)
    return above_GK / (rewards_GK.std(1, keepdim=True) + 1e-4)
