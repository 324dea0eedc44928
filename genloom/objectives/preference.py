"""Learn from pairs with any objective whose loss bounds a likelihood.

Uses the objective's own per-sample loss as minus log-likelihood, so one file serves text (DPO, Rafailov et al. 2023),
masked diffusion, VAE and flow (Diffusion-DPO, Wallace et al. 2024).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.noise import Noise
from genloom.types import Batch, Condition, Loss, Objective, Pairs, Parts, Role, Turn


@dataclass(frozen=True)
class Preference:
    base: Objective[Batch]
    reference: Parts  # frozen copy of the model before it learned from ratings
    beta: float = 0.1  # how far the model may move from its reference
    anchor: float = 1.0  # keeps winners likely; without it flow and VAE drift off the data

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.base.turns

    @property
    def roles(self) -> dict[str, Role]:
        return self.base.roles

    def loss(self, parts: Parts, batch: Pairs, turn: Turn, noise: Noise) -> Loss:
        """Equation 7 of DPO plus `anchor` times the winner's loss a unit; all see the same noise."""

        def surprise(model: Parts, side: Batch) -> tuple[Tensor, Tensor]:
            loss = self.base.loss(model, side, turn, noise)
            return loss.per_sample, loss.units

        with torch.no_grad():
            before_B = surprise(self.reference, batch.lose)[0] - surprise(self.reference, batch.win)[0]
        win_B, units_B = surprise(parts, batch.win)
        margin_B = self.beta * (surprise(parts, batch.lose)[0] - win_B - before_B)
        per_sample = self.anchor * win_B / units_B.clamp(min=1) - F.logsigmoid(margin_B)
        metrics = {"agreement": (margin_B > 0).float().mean().detach(), "margin": margin_B.mean().detach()}
        return Loss(per_sample, torch.ones_like(per_sample), metrics)

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, controls)
