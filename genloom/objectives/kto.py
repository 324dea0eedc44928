"""Train on samples with a thumb up or down each, with any objective whose loss bounds a likelihood."""

from dataclasses import dataclass, field, replace

import torch

from genloom.noise import Noise
from genloom.objectives.checks import check_settings
from genloom.objectives.reference import compute_implicit_reward
from genloom.objectives.wrapper import ObjectiveWrapper
from genloom.types import Loss, Parts, Phase, UnpairedPreferences


@dataclass(frozen=True)
class KTO(ObjectiveWrapper):
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024); for flow and the like, Diffusion-KTO (Li et al. 2024).

    Desirable samples should rise above a reference point, undesirable ones fall below it. Samples far on either side
    have little gradient, which makes KTO robust against wrong ratings.
    """

    reference: Parts = field(default_factory=dict)  # the model before training; empty if the batches have its NLL
    beta: float = 0.1  # penalty of the distance from the reference
    rpo_alpha: float = 1.0  # weight of the NLL of desirable samples
    desirable_weight: float = 1.0  # balanced if weight x count is about equal for desirable and undesirable samples
    undesirable_weight: float = 1.0

    def __post_init__(self) -> None:
        check_settings(
            self,
            {
                "beta": (self.beta > 0, "above 0"),
                "rpo_alpha": (self.rpo_alpha >= 0, "at least 0"),
                "desirable_weight": (self.desirable_weight >= 0, "at least 0"),
                "undesirable_weight": (self.undesirable_weight >= 0, "at least 0"),
            },
        )

    def prepare_batch(
        self, parts: Parts, batch: UnpairedPreferences, phase: Phase, noise: Noise, micro_batch_size: int
    ) -> UnpairedPreferences:
        """Return the batch with its reference point: the mean log-ratio of mismatched answers, at least 0.

        It estimates the KL divergence from the reference (section 4.1). It belongs to the whole batch, so the training
        loop computes it before it splits the batch into micro-batches.
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
        """Compute equation 8 of the paper, plus `rpo_alpha` times the loss per term of desirable samples."""
        assert batch.baseline is not None, "prepare_batch() comes before the loss"
        log_ratio_B, model_loss = compute_implicit_reward(self.base, parts, self.reference, batch.batch, phase, noise)
        desirable_B = batch.desirable.to(log_ratio_B.dtype)
        value_B = (self.beta * (2 * desirable_B - 1) * (log_ratio_B - batch.baseline)).sigmoid()
        cost_B = (self.desirable_weight * desirable_B + self.undesirable_weight * (1 - desirable_B)) * (1 - value_B)
        nll_B = self.rpo_alpha * desirable_B * model_loss.per_sample / model_loss.num_terms.clamp(min=1)
        metrics = {"value": value_B.mean().detach(), "baseline": batch.baseline.mean()}
        return Loss(cost_B + nll_B, torch.ones_like(cost_B), metrics)
