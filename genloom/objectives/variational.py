"""Squeeze data through a small Gaussian bottleneck and rebuild it (VAE)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log, pi, prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.fsq import check_levels, indices_to_codes, quantize
from genloom.noise import Noise
from genloom.types import Batch, Condition, ConditionSpec, Loss, NetworkSpec, Parts, Phase, SignalSpace

TRAIN_DEFAULTS = {"ema_decay": 0.99}  # what such a model is trained with unless a job says otherwise


def default_config(size: int) -> dict[str, Any]:
    """The settings to begin with for so many bytes of data."""
    return {"latent": 64, "decoder_std": 0.2}


@dataclass(frozen=True)
class SamplingParams:
    temperature: float = 1.0  # spread of the latent draw; below 1: likelier, less varied
    should_add_noise: bool = False  # add the decoder's own noise, which makes the draw a true sample of the model


@dataclass(frozen=True)
class Variational:
    space: SignalSpace
    latent: int = 2  # channels of the bottleneck
    grid: tuple[int, ...] = ()  # its sides: (16, 16) keeps where in a picture things are; () is a vector
    levels: tuple[int, ...] = ()  # to which the bottleneck is rounded, one number a channel; (): Gaussian
    decoder_std: float = 0.1  # standard deviation of the decoder: how exactly it must rebuild the data
    beta: float = (
        1.0  # weight of the bottleneck's cost; 1 makes the loss the evidence bound (beta-VAE, Higgins et al. 2017)
    )
    laplacian_weight: float = (
        0.0  # of pictures: weight of the error of edges at every scale, by which they come out crisp
    )
    scale_equivariance_weight: float = (
        0.0  # of pictures: weight of rebuilding the halved picture from the halved grid, which makes latents smooth
    )
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    phases = (Phase("autoencoder", ("encoder", "decoder")),)

    def __post_init__(self) -> None:
        if self.levels:
            check_levels(self.levels)
            if len(self.levels) != self.latent:
                raise ValueError(f"levels must have a number for each of {self.latent} channels, got {self.levels}.")
        if (self.laplacian_weight and len(self.space.size) != 2) or (
            self.scale_equivariance_weight and len(self.grid) != 2
        ):
            raise ValueError(
                "Edges and coarse are of pictures: set objective.laplacian_weight and objective.scale_equivariance_weight to 0."
            )

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        decoder_condition = ConditionSpec(
            self.condition.tokens, self.condition.vector
        )  # a latent has no grid for a field
        latent = SignalSpace(self.latent, self.grid)
        encoder_output = latent if self.levels else SignalSpace(2 * self.latent, self.grid)
        return {
            "encoder": NetworkSpec(self.space, encoder_output, condition=self.condition),
            "decoder": NetworkSpec(latent, self.space, condition=decoder_condition),
        }

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        loss, _ = self.reconstruct(parts, batch, noise)
        return loss

    def reconstruct(self, parts: Parts, batch: Batch, noise: Noise) -> tuple[Loss, Tensor]:
        """The negative evidence bound in nats (Kingma and Welling 2014, equation 3, one draw), and what came out."""
        assert batch.mask is batch.lengths is None, "every position of a signal counts here"
        z, kl_B = self.sample_posterior(parts, batch, noise)
        reconstruction = parts["decoder"](z, cond=batch.cond).float()
        reconstruction_B = self.reconstruction_loss(batch.x, reconstruction)
        metrics = {"reconstruction": reconstruction_B.mean().detach(), "kl": kl_B.mean().detach()}
        if self.scale_equivariance_weight:  # Skorokhodov et al. 2025, "Improving the diffusability of autoencoders"
            small = parts["decoder"](F.avg_pool2d(z, 2), cond=batch.cond).float()
            reconstruction_B = reconstruction_B + self.scale_equivariance_weight * self.reconstruction_loss(
                F.avg_pool2d(batch.x, 2), small
            )
        return Loss(reconstruction_B + self.beta * kl_B, torch.ones_like(kl_B), metrics), reconstruction

    def sample_posterior(self, parts: Parts, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        """A draw of the latent, B Z *grid, and what it costs to tell it to one who knows the prior, B nats."""
        if self.levels:  # one point of a uniform prior, which always costs the same
            z = quantize(parts["encoder"](batch.x, cond=batch.cond).float(), self.levels)
            return z, z.new_full((len(z),), prod(self.grid) * log(prod(self.levels)))
        mean, logvar = self.encode(parts, batch.x, batch.cond)
        z = mean + (logvar / 2).exp() * noise.normal(mean.shape[1:]).to(mean.device)
        return z, 0.5 * (mean.square() + logvar.exp() - 1 - logvar).flatten(1).sum(1)

    def reconstruction_loss(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        """Minus log-likelihood of x around its rebuilt self, B nats; `edges` adds that of its bands (Laplace's law)."""
        error = ((x - reconstruction) / self.decoder_std).square().flatten(1)
        nats_B = 0.5 * error.sum(1) + error.shape[1] * (log(self.decoder_std) + 0.5 * log(2 * pi))
        if not self.laplacian_weight:
            return nats_B
        return nats_B + self.laplacian_weight * laplacian_l1(x - reconstruction) / self.decoder_std

    def encode(self, parts: Parts, x: Tensor, cond: Condition | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent, B Z *grid each."""
        mean, logvar = parts["encoder"](x, cond=cond).float().chunk(2, 1)
        return mean, logvar.clamp(-20, 10)

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        device = next(parts["decoder"].parameters()).device
        if self.levels:
            codes = (noise.uniform(self.grid, 0) * prod(self.levels)).long()
            z = indices_to_codes(codes, self.levels).to(device)
        else:
            z = params.temperature * noise.normal((self.latent, *self.grid), 0).to(device)
        x = parts["decoder"](z, cond=cond).float()
        yield x + self.decoder_std * noise.normal(x.shape[1:], 1).to(device) if params.should_add_noise else x


def laplacian_l1(error: Tensor) -> Tensor:
    """The sum of the absolute values of a picture's Laplacian pyramid (B C H W), B, each band as heavy as the finest.

    Burt and Adelson 1983; as a loss, Bojanowski et al. 2018. The pyramid is linear, so it is taken of the error.
    """
    total_B, weight = error.new_zeros(len(error)), 1.0
    while min(error.shape[2:]) > 4 and not any(side % 2 for side in error.shape[2:]):
        downsampled = F.avg_pool2d(error, 2)
        band = error - F.interpolate(downsampled, scale_factor=2, mode="nearest")
        total_B = total_B + weight * band.abs().flatten(1).sum(1)
        error, weight = downsampled, 4 * weight
    return total_B + weight * error.abs().flatten(1).sum(1)
