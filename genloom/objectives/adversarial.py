"""A generator learns to fool a critic that learns not to be fooled (GAN)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.noise import Noise
from genloom.types import Batch, Condition, ConditionSpec, Loss, NetworkSpec, Parts, Phase, SignalSpace

_LATENT, _PERTURBATION = 0, 1  # positions of the two draws of training
# What such a model is trained with unless a job says otherwise: orthogonal updates throw it off its balance.
TRAIN_DEFAULTS = {
    "ema_decay": 0.99,
    "optimizer": {"family": "adamw", "lr_matrix": 1e-3, "lr_embedding": 1e-3, "lr_vector": 1e-3, "betas": [0.5, 0.99]},
}


def default_config(size: int) -> dict[str, Any]:
    """The settings to begin with for so many bytes of data."""
    return {"latent": 64, "r1_weight": 1.0, "r1_eps": 0.05}


@dataclass(frozen=True)
class SamplingParams:
    temperature: float = 1.0  # spread of the latent draw


@dataclass(frozen=True)
class Adversarial:
    space: SignalSpace
    latent: int = 4
    r1_weight: float = 0.05  # weight of the R1 and R2 penalties; large values freeze the modes
    r1_eps: float = 0.01  # how far data are moved to feel the critic's slope
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    phases = (Phase("critic", ("critic",)), Phase("generator", ("generator",)))

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        generator_condition = ConditionSpec(self.condition.tokens, self.condition.vector)
        return {
            "generator": NetworkSpec(SignalSpace(self.latent), self.space, condition=generator_condition),
            "critic": NetworkSpec(self.space, SignalSpace(1), condition=self.condition),
        }

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        """The relativistic loss with zero-centred penalties on real and made data (R3GAN, Huang et al. 2024).

        It compares each made sample with a real one of its row, so a weight on a liked row counts for its rival too.
        There is no likelihood here: `per_sample` ranks nothing.
        """
        assert batch.mask is batch.lengths is None, "every position of a signal counts here"
        z = noise.normal((self.latent,), _LATENT).to(batch.x.device)
        if phase.name == "generator":
            fake = parts["generator"](z, cond=batch.cond).float()
            return Loss(self.generator_loss(parts, batch, fake), batch.x.new_ones(len(batch)))
        with torch.no_grad():
            fake = parts["generator"](z, cond=batch.cond).float()
        return self.discriminator_loss(parts, batch, fake, noise)

    def generator_loss(self, parts: Parts, batch: Batch, fake: Tensor) -> Tensor:
        """What it costs whoever made `fake` that the critic prefers the real ones, B."""
        return F.softplus(self.critic_score(parts, batch.x, batch.cond) - self.critic_score(parts, fake, batch.cond))

    def discriminator_loss(self, parts: Parts, batch: Batch, fake: Tensor, noise: Noise) -> Loss:
        """What it costs the critic to take `fake` for real, and to have a steep slope at either."""
        real_B, fake_B = self.critic_score(parts, batch.x, batch.cond), self.critic_score(parts, fake, batch.cond)
        # The squared slope along random directions has the squared gradient as its mean; by a finite difference, it
        # needs no second derivative, which sharded parameters do not offer.
        perturbation = self.r1_eps * noise.normal(batch.x.shape[1:], _PERTURBATION).to(batch.x.device)
        slope_real = (self.critic_score(parts, batch.x + perturbation, batch.cond) - real_B) / self.r1_eps
        slope_fake = (self.critic_score(parts, fake + perturbation, batch.cond) - fake_B) / self.r1_eps
        per_sample = F.softplus(fake_B - real_B) + self.r1_weight / 2 * (slope_real.square() + slope_fake.square())
        metrics = {"critic_accuracy": (real_B > fake_B).float().mean().detach()}
        return Loss(per_sample, torch.ones_like(per_sample), metrics)

    def critic_score(self, parts: Parts, x: Tensor, cond: Condition | None) -> Tensor:
        return parts["critic"](x, cond=cond).float()[:, 0]

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        device = next(parts["generator"].parameters()).device
        yield parts["generator"](params.temperature * noise.normal((self.latent,), 0).to(device), cond=cond).float()
