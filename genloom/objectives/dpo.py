"""Train on preference pairs, with any objective whose loss bounds a likelihood.

The per-sample loss of the objective counts as the negative log-likelihood, so one file serves text (DPO, Rafailov et
al. 2023), masked diffusion, VAE and flow (Diffusion-DPO, Wallace et al. 2024).
"""

from dataclasses import dataclass, field

import torch.nn.functional as F

from genloom.noise import Noise
from genloom.objectives.checks import check_settings
from genloom.objectives.reference import compute_implicit_reward
from genloom.objectives.wrapper import ObjectiveWrapper
from genloom.types import Loss, Parts, Phase, PreferencePairs


@dataclass(frozen=True)
class DPO(ObjectiveWrapper):
    """Direct preference optimization around `base`."""

    reference: Parts = field(default_factory=dict)  # the model before training; empty if the batches have its NLL
    beta: float = 0.1  # penalty of the distance from the reference; at least ten times as much if length-normalized
    rpo_alpha: float = 1.0  # weight of the chosen sample's NLL; without it, flow and VAE drift off the data
    is_length_normalized: bool = False  # compare log-ratios per token, so that length alone does not win
    label_smoothing: float = 0.0  # assumed share of pairs with swapped labels

    def __post_init__(self) -> None:
        check_settings(
            self,
            {
                "beta": (self.beta > 0, "above 0"),
                "rpo_alpha": (self.rpo_alpha >= 0, "at least 0"),
                "label_smoothing": (0 <= self.label_smoothing < 0.5, "at least 0 and below 0.5"),
            },
        )

    def loss(self, parts: Parts, batch: PreferencePairs, phase: Phase, noise: Noise) -> Loss:
        """Compute equation 7 of DPO, plus `rpo_alpha` times the chosen sample's loss per term.

        Both samples get the same noise. The log-ratios of long answers are sums of more terms, so plain DPO learns
        length (Park et al. 2024); `is_length_normalized` uses their means (Lambert et al. 2024, section 5.1). Against
        wrong labels, `label_smoothing` is that of conservative DPO (Mitchell 2023), which pushes the margin of a pair
        no further than log(1 / label_smoothing - 1).
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
        per_sample = self.rpo_alpha * chosen_loss.per_sample / num_terms_B + dpo_loss_B
        metrics = {
            "agreement": (margin_B > 0).float().mean().detach(),
            "margin": margin_B.mean().detach(),
            "chosen_log_ratio": chosen_B.mean().detach(),
        }
        return Loss(per_sample, num_terms_B.new_ones(len(batch)), metrics)
