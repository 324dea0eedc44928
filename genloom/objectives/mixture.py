"""An autoencoder whose rebuilt data must also please a critic, so that they come out crisp (VAE-GAN, VQ-GAN)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives import variational
from genloom.objectives.adversarial import Adversarial
from genloom.objectives.variational import Variational
from genloom.types import Batch, Cond, Condition, Loss, Parts, Role, Signal, Turn

Controls = variational.Controls
PLAN = {"average": 0.99}  # what such a model is trained with unless a job says otherwise


def suited(size: int) -> dict[str, Any]:
    """The settings to begin with for so many bytes of data: those of an autoencoder of pictures."""
    return {"latent": 4, "grid": [16, 16], "edges": 0.5, "coarse": 0.25}


@dataclass(frozen=True)
class Mixture:
    """The settings of both halves (see variational and adversarial), and how much the critic's view weighs."""

    space: Signal
    latent: int = 4
    grid: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    spread: float = 0.1
    beta: float = 0.6
    edges: float = 0.0
    coarse: float = 0.0
    fool: float = 0.1  # weight of fooling the critic, in shares of a nat a number of the data
    features: float = 0.1  # weight of looking alike to the critic's layers (Larsen et al. 2016)
    smooth: float = 0.05
    nudge: float = 0.05
    cond: Cond = field(default_factory=Cond)
    turns = (Turn("critic", ("critic",)), Turn("autoencoder", ("encoder", "decoder")))

    @property
    def autoencoder(self) -> Variational:
        return Variational(
            self.space, self.latent, self.grid, self.levels, self.spread, self.beta, self.edges, self.coarse, self.cond
        )

    @property
    def rival(self) -> Adversarial:
        return Adversarial(self.space, self.latent, self.smooth, self.nudge, self.cond)

    @property
    def roles(self) -> dict[str, Role]:
        return {**self.autoencoder.roles, "critic": self.rival.roles["critic"]}

    def loss(self, parts: Parts, batch: Batch, turn: Turn, noise: Noise) -> Loss:
        """That of the autoencoder in nats with the critic's part added, or the critic's, who sees data and rebuilt."""
        if turn.name == "critic":
            with torch.no_grad():
                _, out = self.autoencoder.rebuilt(parts, batch, noise)
            return self.rival.telling_apart(parts, batch, out, noise)
        loss, out = self.autoencoder.rebuilt(parts, batch, noise)
        added_B, metrics = torch.zeros_like(loss.per_sample), dict(loss.metrics)
        if self.fool:
            fooling_B = self.rival.fooling(parts, batch, out)
            metrics["fooling"] = fooling_B.mean().detach()
            added_B = added_B + self.fool * fooling_B
        if self.features:
            unlike_B = self.unlike(parts, batch, out)
            metrics["unlike"] = unlike_B.mean().detach()
            added_B = added_B + self.features * unlike_B
        return replace(loss, per_sample=loss.per_sample + batch.x[0].numel() * added_B, metrics=metrics)

    def unlike(self, parts: Parts, batch: Batch, out: Tensor) -> Tensor:
        """How far what the critic's layers see of the rebuilt is from what they see of the data, in shares of it, B."""
        features = getattr(parts["critic"], "features", None)
        if features is None:
            raise ValueError(
                "This network does not show what its layers see. "
                "Choose --set network.name=convolution, or --set objective.features=0"
            )
        with torch.no_grad():
            real = features(batch.x, batch.cond)
        pairs = zip(real, features(out, batch.cond), strict=True)
        gaps = [(a - b).float().abs().flatten(1).mean(1) / a.float().abs().flatten(1).mean(1) for a, b in pairs]
        return torch.stack(gaps).mean(0)

    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Controls
    ) -> Iterator[Tensor]:
        return self.autoencoder.sample(parts, count, cond, noise, controls)
