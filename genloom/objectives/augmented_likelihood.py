"""Train on samples with scores: the likelihood of a sample becomes that of the reference, raised by its score.

REINVENT (Olivecrona et al. 2017, "Molecular de-novo design through deep reinforcement learning", equation 4) with a
baseline: the advantage stands for the score, so that samples below the mean lose likelihood from the first step on. The
baseline is an estimate of the normaliser of the tilted distribution, which their target leaves out.
Shape letters: B batch.
"""

from dataclasses import dataclass, field

import torch

from genloom.noise import Noise
from genloom.objectives.checks import check_settings
from genloom.objectives.reference import compute_implicit_reward
from genloom.objectives.wrapper import ObjectiveWrapper
from genloom.types import Loss, Parts, Phase, Rollouts


@dataclass(frozen=True)
class AugmentedLikelihood(ObjectiveWrapper):
    """A squared error between the log-ratio to the reference, over `sigma`, and the advantage, of rows of any origin.

    The optimum is the reference, tilted by exp(sigma · score): samples of any origin pull towards it, so that earlier
    ones can be replayed.
    """

    reference: Parts = field(default_factory=dict)  # the model before training; empty if the batches have its NLL
    sigma: float = 500.0  # nats of the log-ratio that an advantage of 1 stands for

    def __post_init__(self) -> None:
        check_settings(self, {"sigma": (self.sigma > 0, "above 0")})

    def loss(self, parts: Parts, batch: Rollouts, phase: Phase, noise: Noise) -> Loss:
        """Compute the error of each row; its advantage is its score less the mean of new samples."""
        log_ratio_B, model_loss = compute_implicit_reward(self.base, parts, self.reference, batch.batch, phase, noise)
        error_B = log_ratio_B / self.sigma - batch.advantage
        metrics = {"log_ratio": log_ratio_B.mean().detach()}
        if batch.reward is not None:
            is_new_B = torch.ones_like(batch.reward, dtype=torch.bool) if batch.is_new is None else batch.is_new
            metrics["reward"] = (batch.reward * is_new_B).sum() / is_new_B.sum().clamp(min=1)
        return Loss(error_B.square(), torch.ones_like(model_loss.per_sample), metrics)
