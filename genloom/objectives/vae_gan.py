"""An autoencoder whose reconstructions are also trained against a critic, which makes them sharp (VAE-GAN, VQ-GAN)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from genloom.capabilities import FeatureNetwork
from genloom.errors import GenloomError
from genloom.noise import Noise
from genloom.objectives import variational
from genloom.objectives.adversarial import Adversarial
from genloom.objectives.sizes import build_length_kwargs
from genloom.objectives.variational import Variational
from genloom.types import Batch, Condition, ConditionSpec, Loss, NetworkSpec, Parts, Phase, SignalSpace

SamplingParams = variational.SamplingParams
TRAIN_DEFAULTS = {"ema_decay": 0.99}  # training settings unless a job sets others


def default_config(size: int) -> dict[str, Any]:
    """Return default settings for `size` bytes of data: those of a spatial autoencoder."""
    return {"latent": 4, "downsampling": [4], "laplacian_weight": 0.5, "scale_equivariance_weight": 0.25}


@dataclass(frozen=True)
class VaeGan:
    """The settings of both parts (see variational and adversarial), and the weights of the critic's losses."""

    space: SignalSpace
    latent: int = 4
    grid: tuple[int, ...] = ()
    downsampling: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    decoder_std: float = 0.1
    beta: float = 0.6
    laplacian_weight: float = 0.0
    scale_equivariance_weight: float = 0.0
    spectral_weight: float = 0.0
    adv_weight: float = 0.1  # weight of the generator loss, in nats per number of the data
    feature_matching_weight: float = 0.1  # weight of the feature matching loss (Larsen et al. 2016)
    r1_weight: float = 0.05
    r1_eps: float = 0.05
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    phases = (Phase("critic", ("critic",)), Phase("autoencoder", ("encoder", "decoder")))

    @property
    def autoencoder(self) -> Variational:
        return Variational(
            self.space,
            self.latent,
            self.grid,
            self.downsampling,
            self.levels,
            self.decoder_std,
            self.beta,
            self.laplacian_weight,
            self.scale_equivariance_weight,
            self.spectral_weight,
            self.condition,
        )

    @property
    def adversarial(self) -> Adversarial:
        return Adversarial(self.space, self.latent, self.r1_weight, self.r1_eps, self.condition)

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        return {**self.autoencoder.network_specs, "critic": self.adversarial.network_specs["critic"]}

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        """Compute the autoencoder's loss in nats plus the critic's terms, or the critic's loss on reconstructions."""
        if phase.name == "critic":
            with torch.no_grad():
                _, reconstruction = self.autoencoder.reconstruct(parts, batch, noise)
            return self.adversarial.discriminator_loss(parts, batch, reconstruction, noise)
        loss, reconstruction = self.autoencoder.reconstruct(parts, batch, noise)
        extra_B, metrics = torch.zeros_like(loss.per_sample), dict(loss.metrics)
        if self.adv_weight:
            generator_loss_B = self.adversarial.generator_loss(parts, batch, reconstruction)
            metrics["generator_loss"] = generator_loss_B.mean().detach()
            extra_B = extra_B + self.adv_weight * generator_loss_B
        if self.feature_matching_weight:
            feature_loss_B = self.feature_matching_loss(parts, batch, reconstruction)
            metrics["feature_matching_loss"] = feature_loss_B.mean().detach()
            extra_B = extra_B + self.feature_matching_weight * feature_loss_B
        return replace(loss, per_sample=loss.per_sample + batch.x[0].numel() * extra_B, metrics=metrics)

    def feature_matching_loss(self, parts: Parts, batch: Batch, reconstruction: Tensor) -> Tensor:
        """Return the relative L1 distance of the critic's features of reconstruction and data, mean of layers, B."""
        if not isinstance(critic := parts["critic"], FeatureNetwork):
            raise GenloomError("objectives.critic_without_features")

        lengths = build_length_kwargs(batch.lengths)
        with torch.no_grad():
            real = critic.forward_features(batch.x, batch.cond, **lengths)
        pairs = zip(real, critic.forward_features(reconstruction, batch.cond, **lengths), strict=True)
        distances = [(a - b).float().abs().flatten(1).mean(1) / a.float().abs().flatten(1).mean(1) for a, b in pairs]
        return torch.stack(distances).mean(0)

    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        return self.autoencoder.sample(parts, count, cond, noise, params)
