"""Learn from pairs with any objective whose loss bounds a likelihood.

Uses the objective's own per-sample loss as minus log-likelihood, so one file serves text (DPO, Rafailov et al. 2023),
masked diffusion, VAE and flow (Diffusion-DPO, Wallace et al. 2024).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.reference import compute_implicit_reward
from genloom.types import Batch, Condition, Loss, NetworkSpec, Objective, Parts, Phase, PreferencePairs


@dataclass(frozen=True)
class DPO:
    base: Objective[Batch]
    reference: Parts = field(default_factory=dict)  # the model before it learned; none where the batches know it
    beta: float = 0.1  # how far the model may move from its reference; per unit, ten and more times as much
    rpo_alpha: float = 1.0  # keeps winners likely; without it flow and VAE drift off the data
    is_length_normalized: bool = False  # compare rises a symbol, not an answer, so that length alone wins nothing
    label_smoothing: float = 0.0  # the share of pairs that are believed to be the wrong way round

    def __post_init__(self) -> None:
        if self.beta <= 0 or self.rpo_alpha < 0 or not 0 <= self.label_smoothing < 0.5:
            raise ValueError(
                "Of learning from pairs, beta must be above 0, rpo_alpha 0 or more, and label_smoothing from 0 to below 0.5, "
                f"got {self.beta}, {self.rpo_alpha} and {self.label_smoothing}."
            )

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.base.phases

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        return self.base.network_specs

    def loss(self, parts: Parts, batch: PreferencePairs, phase: Phase, noise: Noise) -> Loss:
        """Equation 7 of DPO plus `anchor` times the winner's loss a unit; both sides see the same noise.

        Length: the rises of long answers are sums of more terms, so that plain DPO learns length (Park et al. 2024);
        `per_unit` takes their means (Lambert et al. 2024, section 5.1). The pairs of careless raters: `flipped` is
        the label smoothing of conservative DPO (Mitchell 2023), which asks of no pair more than log(1 / flipped - 1).
        """
        chosen_B, chosen_loss = compute_implicit_reward(self.base, parts, self.reference, batch.chosen, phase, noise)
        rejected_B, rejected_loss = compute_implicit_reward(
            self.base, parts, self.reference, batch.rejected, phase, noise
        )
        num_terms_B = chosen_loss.num_terms.clamp(min=1)
        log_ratio_gap_B = (
            chosen_B / num_terms_B - rejected_B / rejected_loss.num_terms.clamp(min=1)
            if self.is_length_normalized
            else chosen_B - rejected_B
        )
        margin_B = self.beta * log_ratio_gap_B
        dpo_loss_B = (1 - self.label_smoothing) * F.softplus(-margin_B) + self.label_smoothing * F.softplus(margin_B)
        metrics = {
            "agreement": (margin_B > 0).float().mean().detach(),
            "margin": margin_B.mean().detach(),
            "chosen_log_ratio": chosen_B.mean().detach(),
        }
        return Loss(
            self.rpo_alpha * chosen_loss.per_sample / num_terms_B + dpo_loss_B,
            num_terms_B.new_ones(len(batch)),
            metrics,
        )

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, params)
