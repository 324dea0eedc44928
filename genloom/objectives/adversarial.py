"""Train a generator against a critic that tells real from generated data (GAN)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.checks import check_options
from genloom.objectives.sizes import build_length_kwargs, plan_size, resize_network, size_option
from genloom.settings import option
from genloom.types import Batch, Condition, ConditionSpec, Loss, NetworkSpec, Parts, Phase, SignalSpace

_LATENT, _PERTURBATION = 0, 1  # positions of the two draws of training
# Training settings unless a job sets others: orthogonal updates (Muon) destabilize a GAN.
TRAIN_DEFAULTS = {
    "ema_decay": 0.99,
    "optimizer": {"family": "adamw", "lr_matrix": 1e-3, "lr_embedding": 1e-3, "lr_vector": 1e-3, "betas": [0.5, 0.99]},
}


def default_config(size: int) -> dict[str, Any]:
    """Return default settings for `size` bytes of data."""
    return {"latent": 64, "r1_weight": 1.0, "r1_eps": 0.05}


@dataclass(frozen=True)
class SamplingParams:
    temperature: float = option(1.0, "Standard deviation of the latent sample.", minimum=0, maximum=100)
    size: tuple[int, ...] = size_option()

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Adversarial:
    space: SignalSpace
    latent: int = 4
    r1_weight: float = 0.05  # weight of the R1 and R2 penalties; large values freeze the modes
    r1_eps: float = 0.01  # step of the finite difference that estimates the critic's gradient
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    is_on_grid: bool = False  # whether the latent has the grid of the data, for a generator that reads fields
    phases = (Phase("critic", ("critic",)), Phase("generator", ("generator",)))

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        latent = SignalSpace(self.latent, self.space.size if self.is_on_grid else ())
        condition = self.condition if self.is_on_grid else replace(self.condition, field=0)
        return {
            "generator": NetworkSpec(latent, self.space, condition=condition),
            "critic": NetworkSpec(self.space, SignalSpace(1), condition=self.condition),
        }

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        """Compute the relativistic loss with zero-centred penalties on real and fake data (R3GAN, Huang et al. 2024).

        It compares each fake sample with the real one of its row, so the weight of a row applies to both. There is no
        likelihood: `per_sample` cannot rank samples.
        """
        assert batch.mask is None, "the critic reads every position"
        z = self.draw_latent(noise, batch.x.shape[2:]).to(batch.x.device)
        if phase.name == "generator":
            fake = parts["generator"](z, cond=batch.cond).float()
            return Loss(self.generator_loss(parts, batch, fake), batch.x.new_ones(len(batch)))
        with torch.no_grad():
            fake = parts["generator"](z, cond=batch.cond).float()
        return self.discriminator_loss(parts, batch, fake, noise)

    def draw_latent(self, noise: Noise, size: tuple[int, ...]) -> Tensor:
        """Return what samples of this size are generated from."""
        return noise.normal((self.latent, *size) if self.is_on_grid else (self.latent,), _LATENT)

    def generator_loss(self, parts: Parts, batch: Batch, fake: Tensor) -> Tensor:
        """Return the loss of the network that made `fake`: the critic should prefer it to the real data, B."""
        return F.softplus(self.critic_score(parts, batch.x, batch) - self.critic_score(parts, fake, batch))

    def discriminator_loss(self, parts: Parts, batch: Batch, fake: Tensor, noise: Noise) -> Loss:
        """Return the loss of the critic: it should prefer the real data to `fake`, with a small gradient at both."""
        real_B, fake_B = self.critic_score(parts, batch.x, batch), self.critic_score(parts, fake, batch)
        # The mean of the squared slope along random directions is the squared gradient. A finite difference needs no
        # second derivative, which sharded parameters do not support.
        perturbation = self.r1_eps * noise.normal(batch.x.shape[1:], _PERTURBATION).to(batch.x.device)
        slope_real = (self.critic_score(parts, batch.x + perturbation, batch) - real_B) / self.r1_eps
        slope_fake = (self.critic_score(parts, fake + perturbation, batch) - fake_B) / self.r1_eps
        per_sample = F.softplus(fake_B - real_B) + self.r1_weight / 2 * (slope_real.square() + slope_fake.square())
        metrics = {"critic_accuracy": (real_B > fake_B).float().mean().detach()}
        return Loss(per_sample, torch.ones_like(per_sample), metrics)

    def critic_score(self, parts: Parts, x: Tensor, batch: Batch) -> Tensor:
        """Return the critic's score of x, real or generated, up to the length of the batch's rows, B."""
        return parts["critic"](x, cond=batch.cond, **build_length_kwargs(batch.lengths)).float()[:, 0]

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        size, length = plan_size(self.space, params.size)
        generator = parts["generator"] if size == self.space.size else resize_network(parts["generator"], size)
        z = params.temperature * self.draw_latent(noise, size).to(next(generator.parameters()).device)
        x = generator(z, cond=cond).float()
        yield x[:, :, :length] if size and length < size[0] else x
