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
from genloom.objectives.reference import log_ratio
from genloom.types import Batch, Condition, Loss, Objective, Pairs, Parts, Role, Turn


@dataclass(frozen=True)
class Preference:
    base: Objective[Batch]
    reference: Parts = field(default_factory=dict)  # the model before it learned; none where the batches know it
    beta: float = 0.1  # how far the model may move from its reference; per unit, ten and more times as much
    anchor: float = 1.0  # keeps winners likely; without it flow and VAE drift off the data
    per_unit: bool = False  # compare rises a symbol, not an answer, so that length alone wins nothing
    flipped: float = 0.0  # the share of pairs that are believed to be the wrong way round

    def __post_init__(self) -> None:
        if self.beta <= 0 or self.anchor < 0 or not 0 <= self.flipped < 0.5:
            raise ValueError(
                "Of learning from pairs, beta must be above 0, anchor 0 or more, and flipped from 0 to below 0.5, "
                f"got {self.beta}, {self.anchor} and {self.flipped}."
            )

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.base.turns

    @property
    def roles(self) -> dict[str, Role]:
        return self.base.roles

    def loss(self, parts: Parts, batch: Pairs, turn: Turn, noise: Noise) -> Loss:
        """Equation 7 of DPO plus `anchor` times the winner's loss a unit; both sides see the same noise.

        Length: the rises of long answers are sums of more terms, so that plain DPO learns length (Park et al. 2024);
        `per_unit` takes their means (Lambert et al. 2024, section 5.1). The pairs of careless raters: `flipped` is
        the label smoothing of conservative DPO (Mitchell 2023), which asks of no pair more than log(1 / flipped - 1).
        """
        win_B, own = log_ratio(self.base, parts, self.reference, batch.win, turn, noise)
        lose_B, other = log_ratio(self.base, parts, self.reference, batch.lose, turn, noise)
        units_B = own.units.clamp(min=1)
        gap_B = win_B / units_B - lose_B / other.units.clamp(min=1) if self.per_unit else win_B - lose_B
        margin_B = self.beta * gap_B
        doubted_B = (1 - self.flipped) * F.softplus(-margin_B) + self.flipped * F.softplus(margin_B)
        metrics = {
            "agreement": (margin_B > 0).float().mean().detach(),
            "margin": margin_B.mean().detach(),
            "rise_of_winners": win_B.mean().detach(),
        }
        return Loss(self.anchor * own.per_sample / units_B + doubted_B, units_B.new_ones(len(batch)), metrics)

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, controls)
