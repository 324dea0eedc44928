"""Compress data to a small Gaussian or quantized latent, and reconstruct it (VAE)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import log, pi, prod
from operator import floordiv, mod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.errors import GenloomError
from genloom.fsq import check_levels, indices_to_codes, quantize
from genloom.noise import Noise
from genloom.objectives.checks import check_options
from genloom.objectives.sizes import (
    build_length_kwargs,
    build_signal_mask,
    build_valid_mask,
    plan_size,
    resize_network,
    scale_lengths,
    scale_size,
    size_option,
)
from genloom.objectives.spectral_loss import spectral_distance
from genloom.settings import option
from genloom.types import Batch, Condition, ConditionSpec, Loss, NetworkSpec, Parts, Phase, SignalSpace

AVG_POOL_BY_AXES: tuple[Any, ...] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
TRAIN_DEFAULTS = {"ema_decay": 0.99}  # training settings unless a job sets others


def default_config(size: int) -> dict[str, Any]:
    """Return default settings for `size` bytes of data."""
    return {"latent": 64, "decoder_std": 0.2}


@dataclass(frozen=True)
class SamplingParams:
    temperature: float = option(
        1.0, "Standard deviation of the latent sample; below 1: more typical, less diverse.", minimum=0, maximum=100
    )
    should_add_noise: bool = option(False, "Add the noise of the decoder, which makes the output an exact sample.")
    size: tuple[int, ...] = size_option()

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Variational:
    space: SignalSpace
    latent: int = 2  # channels of the latent
    grid: tuple[int, ...] = ()  # sides of the latent: (16, 16) is a spatial latent, () a vector
    downsampling: tuple[int, ...] = ()  # without `grid`: how many times smaller its sides are; one number: all sides
    levels: tuple[int, ...] = ()  # quantization levels, one number per channel; (): Gaussian
    decoder_std: float = 0.1  # standard deviation of the decoder: how exactly it must reconstruct the data
    beta: float = 1.0  # weight of the KL term; 1 makes the loss the evidence bound (beta-VAE, Higgins et al. 2017)
    laplacian_weight: float = 0.0  # weight of the error of edges at every scale, for sharp reconstructions
    scale_equivariance_weight: float = 0.0  # weight of decoding the halved latent to the halved data
    spectral_weight: float = 0.0  # weight of the distance of spectra, for sounds: channels are samples one by one
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    phases = (Phase("autoencoder", ("encoder", "decoder")),)

    def __post_init__(self) -> None:
        if self.levels:
            check_levels(self.levels)
            if len(self.levels) != self.latent:
                raise GenloomError("objectives.levels_mismatch", latent=self.latent, levels=list(self.levels))
        size, factors = self.space.size, self.downsampling
        if (
            not self.grid
            and factors
            and (
                len(factors) not in (1, len(size))
                or min(factors) < 1
                or any(map(mod, size, broadcast_numbers(factors, size)))
            )
        ):
            raise GenloomError("objectives.downsampling", downsampling=factors, size=size)
        if self.laplacian_weight and not 1 <= len(size) <= len(AVG_POOL_BY_AXES):
            raise GenloomError("objectives.grid_losses_without_grid")
        if self.spectral_weight and len(size) != 1:
            raise GenloomError("objectives.spectra_without_time", size=size)
        can_halve = len(self.latent_size) == len(size) and 2 in list_halving_factors(self.latent_size, min_side=1)
        if self.scale_equivariance_weight and not can_halve:
            raise GenloomError("objectives.grid_losses_without_grid")

    @property
    def latent_size(self) -> tuple[int, ...]:
        """The sides of the latent; () for a vector."""
        if self.grid or not self.downsampling:
            return self.grid
        return tuple(map(floordiv, self.space.size, broadcast_numbers(self.downsampling, self.space.size)))

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        is_on_grid = self.latent_size == self.space.size != ()  # that of a field condition
        decoder_condition = self.condition if is_on_grid else replace(self.condition, field=0)
        latent = SignalSpace(self.latent, self.latent_size)
        encoder_output = latent if self.levels else SignalSpace(2 * self.latent, self.latent_size)
        return {
            "encoder": NetworkSpec(self.space, encoder_output, condition=self.condition),
            "decoder": NetworkSpec(latent, self.space, condition=decoder_condition),
        }

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        loss, _ = self.reconstruct(parts, batch, noise)
        return loss

    def reconstruct(self, parts: Parts, batch: Batch, noise: Noise) -> tuple[Loss, Tensor]:
        """Return the negative evidence bound in nats (Kingma and Welling 2014, eq. 3, one sample), and the output."""
        z, kl_B = self.sample_posterior(parts, batch, noise)
        mask, latent_lengths = build_signal_mask(batch), self.scale_to_latent(batch.lengths)
        reconstruction = parts["decoder"](z, cond=batch.cond, **build_length_kwargs(latent_lengths)).float()
        reconstruction_B = self.reconstruction_loss(batch.x, reconstruction, mask)
        metrics = {"reconstruction": reconstruction_B.mean().detach(), "kl": kl_B.mean().detach()}
        if self.scale_equivariance_weight:  # Skorokhodov et al. 2025, "Improving the diffusability of autoencoders"
            factors = list_halving_factors(self.latent_size, min_side=1)
            small_lengths = None if latent_lengths is None else -(-latent_lengths // factors[0])
            small = parts["decoder"](
                avg_pool(z, factors), cond=batch.cond, **build_length_kwargs(small_lengths)
            ).float()
            small_mask = None if mask is None else avg_pool(mask[:, None].float(), factors)[:, 0] == 1
            reconstruction_B = reconstruction_B + self.scale_equivariance_weight * self.reconstruction_loss(
                avg_pool(batch.x, factors), small, small_mask
            )
        return Loss(reconstruction_B + self.beta * kl_B, torch.ones_like(kl_B), metrics), reconstruction

    def sample_posterior(self, parts: Parts, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return a posterior sample, B Z *grid, and its KL divergence from the prior, B nats."""
        latent_lengths = self.scale_to_latent(batch.lengths)
        if self.levels:  # one point of a uniform prior, so the KL is constant
            z = quantize(
                parts["encoder"](batch.x, cond=batch.cond, **build_length_kwargs(batch.lengths)).float(), self.levels
            )
            kl_B = z.new_full((len(z),), prod(self.latent_size) * log(prod(self.levels)))
            return z, kl_B if latent_lengths is None else kl_B * latent_lengths / self.latent_size[0]
        mean, logvar = self.encode(parts, batch.x, batch.cond, batch.lengths)
        z = mean + (logvar / 2).exp() * noise.normal(mean.shape[1:]).to(mean.device)
        kl = mean.square() + logvar.exp() - 1 - logvar
        if latent_lengths is not None:
            kl = kl * build_valid_mask(z, latent_lengths)[:, None]
        return z, 0.5 * kl.flatten(1).sum(1)

    def scale_to_latent(self, lengths_B: Tensor | None) -> Tensor | None:
        """Return the lengths of the latents of such rows; None if none is padded, or the latent is a vector."""
        return scale_lengths(lengths_B, self.space.size, self.latent_size)

    def reconstruction_loss(self, x: Tensor, reconstruction: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the NLL of x given its reconstruction, B nats, plus that of its pyramid's bands (Laplacian).

        `mask`, B *size, is True for the positions that count; None: all.
        """
        error, num_values = x - reconstruction, x[0].numel()
        if mask is not None:
            error = error * mask[:, None]
            num_values = x.shape[1] * mask.flatten(1).sum(1)
        squares = (error / self.decoder_std).square().flatten(1)
        nats_B = 0.5 * squares.sum(1) + num_values * (log(self.decoder_std) + 0.5 * log(2 * pi))
        if self.spectral_weight:
            inside = 1 if mask is None else mask[:, None]
            nats_B = nats_B + self.spectral_weight * num_values * spectral_distance(x * inside, reconstruction * inside)
        if not self.laplacian_weight:
            return nats_B
        return nats_B + self.laplacian_weight * laplacian_l1(error) / self.decoder_std

    def encode(
        self, parts: Parts, x: Tensor, cond: Condition | None = None, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of the latent, B Z *grid each."""
        mean, logvar = parts["encoder"](x, cond=cond, **build_length_kwargs(lengths_B)).float().chunk(2, 1)
        return mean, logvar.clamp(-20, 10)

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        size, length = plan_size(self.space, params.size)
        latent_size, decoder = scale_size(size, self.space, self.latent_size), parts["decoder"]
        if size != self.space.size:
            decoder = resize_network(decoder, latent_size)
        device = next(decoder.parameters()).device
        if self.levels:
            codes = (noise.uniform(latent_size, 0) * prod(self.levels)).long()
            z = indices_to_codes(codes, self.levels).to(device)
        else:
            z = params.temperature * noise.normal((self.latent, *latent_size), 0).to(device)
        is_shorter = bool(size) and length < size[0]
        lengths_B = self.scale_to_latent(torch.full((count,), length, device=device)) if is_shorter else None
        x = decoder(z, cond=cond, **build_length_kwargs(lengths_B)).float()
        x = x[:, :, :length] if is_shorter else x
        yield x + self.decoder_std * noise.normal(x.shape[1:], 1).to(device) if params.should_add_noise else x


def laplacian_l1(error: Tensor) -> Tensor:
    """Return the L1 norm of the Laplacian pyramid of a signal (B C *size), B, with equal weight for each band.

    Burt and Adelson 1983; as a loss, Bojanowski et al. 2018. The pyramid is linear, so it is applied to the error.
    """
    total_B, weight = error.new_zeros(len(error)), 1.0
    while 2 in (factors := list_halving_factors(error.shape[2:], min_side=4)):
        downsampled = avg_pool(error, factors)
        band = error - F.interpolate(downsampled, scale_factor=[float(factor) for factor in factors], mode="nearest")
        total_B = total_B + weight * band.abs().flatten(1).sum(1)
        error, weight = downsampled, prod(factors) * weight
    return total_B + weight * error.abs().flatten(1).sum(1)


def list_halving_factors(size: Sequence[int], min_side: int) -> tuple[int, ...]:
    """Return 2 for each even side above `min_side`, and 1 for the others."""
    return tuple(2 if side % 2 == 0 and side > min_side else 1 for side in size)


def avg_pool(x: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Return the means of blocks of `factors` cells."""
    return AVG_POOL_BY_AXES[len(factors) - 1](x, factors)


def broadcast_numbers(numbers: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    """Return a number for each side."""
    return numbers * len(size) if len(numbers) == 1 else numbers
