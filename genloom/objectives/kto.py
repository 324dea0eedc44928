"""Learn from samples that were liked or disliked each by itself, with any objective whose loss bounds a likelihood."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.reference import compute_implicit_reward
from genloom.types import Batch, Condition, Loss, NetworkSpec, Objective, Parts, Phase, UnpairedPreferences


@dataclass(frozen=True)
class KTO:
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024), for flow and the like as Diffusion-KTO (Li et al. 2024).

    What was liked has to rise above a reference point, what was disliked to fall below it; what lies far on either side
    counts little, which makes it calm about raters who err.
    """

    base: Objective[Batch]
    reference: Parts = field(default_factory=dict)  # the model before it learned; none where the batches know it
    beta: float = 0.1  # how far the model may move from its reference
    rpo_alpha: float = 1.0  # keeps what was liked likely
    desirable_weight: float = 1.0  # weight of what was liked; good x likes near bad x dislikes is a good balance
    undesirable_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.beta <= 0 or min(self.rpo_alpha, self.desirable_weight, self.undesirable_weight) < 0:
            raise ValueError(
                "Of learning from thumbs, beta must be above 0, and rpo_alpha, desirable_weight and undesirable_weight 0 or more, "
                f"got {self.beta}, {self.rpo_alpha}, {self.desirable_weight} and {self.undesirable_weight}."
            )

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.base.phases

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        return self.base.network_specs

    def prepare_batch(
        self, parts: Parts, batch: UnpairedPreferences, phase: Phase, noise: Noise, micro_batch_size: int
    ) -> UnpairedPreferences:
        """The batch with its reference point: the mean rise of answers to other prompts, taken as 0 where it is less.

        It estimates how far the model has moved (section 4.1). It belongs to the whole batch, so the loop asks for it
        before it cuts the batch into pieces of `size` rows.
        """
        micro_batches = [slice(first, first + micro_batch_size) for first in range(0, len(batch), micro_batch_size)]
        with torch.no_grad():
            log_ratios = [
                compute_implicit_reward(
                    self.base, parts, self.reference, batch.mismatched.select_rows(rows), phase, noise.select_rows(rows)
                )[0]
                for rows in micro_batches
            ]
        return replace(batch, baseline=torch.cat(log_ratios).mean().clamp(min=0).repeat(len(batch)))

    def loss(self, parts: Parts, batch: UnpairedPreferences, phase: Phase, noise: Noise) -> Loss:
        """Equation 8 of the paper, plus `anchor` times the loss a unit of what was liked."""
        assert batch.baseline is not None, "prepare_batch() comes before the loss"
        log_ratio_B, model_loss = compute_implicit_reward(self.base, parts, self.reference, batch.batch, phase, noise)
        desirable_B = batch.desirable.to(log_ratio_B.dtype)
        value_B = (self.beta * (2 * desirable_B - 1) * (log_ratio_B - batch.baseline)).sigmoid()
        cost_B = (self.desirable_weight * desirable_B + self.undesirable_weight * (1 - desirable_B)) * (1 - value_B)
        nll_B = self.rpo_alpha * desirable_B * model_loss.per_sample / model_loss.num_terms.clamp(min=1)
        metrics = {"value": value_B.mean().detach(), "baseline": batch.baseline.mean()}
        return Loss(cost_B + nll_B, torch.ones_like(cost_B), metrics)

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, params)
