"""Squeeze data through a small Gaussian bottleneck and rebuild it (VAE)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log, pi

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.types import Batch, Cond, Condition, Loss, Parts, Role, Signal, Turn


@dataclass(frozen=True)
class Controls:
    temperature: float = 1.0  # spread of the latent draw; below 1: likelier, less varied
    noisy: bool = False  # add the decoder's own noise, which makes the draw a true sample of the model


@dataclass(frozen=True)
class Variational:
    space: Signal
    latent: int = 2
    spread: float = 0.1  # standard deviation of the decoder: how exactly it must rebuild the data
    beta: float = (
        1.0  # weight of the bottleneck's cost; 1 makes the loss the evidence bound (beta-VAE, Higgins et al. 2017)
    )
    cond: Cond = field(default_factory=Cond)
    turns = (Turn("autoencoder", ("encoder", "decoder")),)

    @property
    def roles(self) -> dict[str, Role]:
        vector = Cond(self.cond.tokens, self.cond.vector)  # a latent has no grid for a field
        return {
            "encoder": Role(self.space, Signal(2 * self.latent), cond=self.cond),
            "decoder": Role(Signal(self.latent), self.space, cond=vector),
        }

    def loss(self, parts: Parts, batch: Batch, turn: Turn, noise: Noise) -> Loss:
        """The negative evidence bound in nats (Kingma and Welling 2014, equation 3, one draw)."""
        assert batch.mask is batch.lengths is None, "every position of a signal counts here"
        mean, logvar = self.encode(parts, batch.x, batch.cond)
        z = mean + (logvar / 2).exp() * noise.normal(mean.shape[1:]).to(mean.device)
        rebuilt = parts["decoder"](z, cond=batch.cond).float()
        error = ((batch.x - rebuilt) / self.spread).square().flatten(1)
        rebuild_B = 0.5 * error.sum(1) + error.shape[1] * (log(self.spread) + 0.5 * log(2 * pi))
        squeeze_B = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)
        metrics = {"rebuild": rebuild_B.mean().detach(), "squeeze": squeeze_B.mean().detach()}
        return Loss(rebuild_B + self.beta * squeeze_B, torch.ones_like(squeeze_B), metrics)

    def encode(self, parts: Parts, x: Tensor, cond: Condition | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent, B Z each."""
        mean, logvar = parts["encoder"](x, cond=cond).float().chunk(2, 1)
        return mean, logvar.clamp(-20, 10)

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Controls
    ) -> Iterator[Tensor]:
        device = next(parts["decoder"].parameters()).device
        z = controls.temperature * noise.normal((self.latent,), 0).to(device)
        x = parts["decoder"](z, cond=cond).float()
        yield x + self.spread * noise.normal(x.shape[1:], 1).to(device) if controls.noisy else x
