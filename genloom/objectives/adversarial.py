"""A generator learns to fool a critic that learns not to be fooled (GAN)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.noise import Noise
from genloom.types import Batch, Cond, Condition, Loss, Parts, Role, Signal, Turn

_LATENT, _NUDGE = 0, 1  # positions of the two draws of training
# What such a model is trained with unless a job says otherwise: orthogonal updates throw it off its balance.
PLAN = {
    "average": 0.99,
    "rates": {"family": "adamw", "matrix": 1e-3, "table": 1e-3, "vector": 1e-3, "betas": [0.5, 0.99]},
}


def suited(size: int) -> dict[str, Any]:
    """The settings to begin with for so many bytes of data."""
    return {"latent": 64, "smooth": 1.0, "nudge": 0.05}


@dataclass(frozen=True)
class Controls:
    temperature: float = 1.0  # spread of the latent draw


@dataclass(frozen=True)
class Adversarial:
    space: Signal
    latent: int = 4
    smooth: float = 0.05  # weight of the R1 and R2 penalties; large values freeze the modes
    nudge: float = 0.01  # how far data are moved to feel the critic's slope
    cond: Cond = field(default_factory=Cond)
    turns = (Turn("critic", ("critic",)), Turn("generator", ("generator",)))

    @property
    def roles(self) -> dict[str, Role]:
        vector = Cond(self.cond.tokens, self.cond.vector)
        return {
            "generator": Role(Signal(self.latent), self.space, cond=vector),
            "critic": Role(self.space, Signal(1), cond=self.cond),
        }

    def loss(self, parts: Parts, batch: Batch, turn: Turn, noise: Noise) -> Loss:
        """The relativistic loss with zero-centred penalties on real and made data (R3GAN, Huang et al. 2024).

        It compares each made sample with a real one of its row, so a weight on a liked row counts for its rival too.
        There is no likelihood here: `per_sample` ranks nothing.
        """
        assert batch.mask is batch.lengths is None, "every position of a signal counts here"
        z = noise.normal((self.latent,), _LATENT).to(batch.x.device)
        if turn.name == "generator":
            fake = parts["generator"](z, cond=batch.cond).float()
            return Loss(self.fooling(parts, batch, fake), batch.x.new_ones(len(batch)))
        with torch.no_grad():
            fake = parts["generator"](z, cond=batch.cond).float()
        return self.telling_apart(parts, batch, fake, noise)

    def fooling(self, parts: Parts, batch: Batch, fake: Tensor) -> Tensor:
        """What it costs whoever made `fake` that the critic prefers the real ones, B."""
        return F.softplus(self.score(parts, batch.x, batch.cond) - self.score(parts, fake, batch.cond))

    def telling_apart(self, parts: Parts, batch: Batch, fake: Tensor, noise: Noise) -> Loss:
        """What it costs the critic to take `fake` for real, and to have a steep slope at either."""
        real_B, fake_B = self.score(parts, batch.x, batch.cond), self.score(parts, fake, batch.cond)
        # The squared slope along random directions has the squared gradient as its mean; by a finite difference, it
        # needs no second derivative, which sharded parameters do not offer.
        step = self.nudge * noise.normal(batch.x.shape[1:], _NUDGE).to(batch.x.device)
        slope_real = (self.score(parts, batch.x + step, batch.cond) - real_B) / self.nudge
        slope_fake = (self.score(parts, fake + step, batch.cond) - fake_B) / self.nudge
        per_sample = F.softplus(fake_B - real_B) + self.smooth / 2 * (slope_real.square() + slope_fake.square())
        told = {"told_apart": (real_B > fake_B).float().mean().detach()}
        return Loss(per_sample, torch.ones_like(per_sample), told)

    def score(self, parts: Parts, x: Tensor, cond: Condition | None) -> Tensor:
        return parts["critic"](x, cond=cond).float()[:, 0]

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Controls
    ) -> Iterator[Tensor]:
        device = next(parts["generator"].parameters()).device
        yield parts["generator"](controls.temperature * noise.normal((self.latent,), 0).to(device), cond=cond).float()
