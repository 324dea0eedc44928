"""Train on samples with scores: the likelihood of a sample becomes that of the reference, raised by its score.

REINVENT (Olivecrona et al. 2017, "Molecular de-novo design through deep reinforcement learning", equation 4).
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
    """A squared error between the log-ratio to the reference, over `sigma`, and the score; off-policy rows are valid.

    The optimum is the reference, tilted by exp(sigma · score): samples of any origin pull towards it, so that earlier
    ones can be replayed.
    """

    reference: Parts = field(default_factory=dict)  # the model before training; empty if the batches have its NLL
    sigma: float = 500.0  # nats that a sample with the score 1 gains over one with the score 0

    def __post_init__(self) -> None:
        check_settings(self, {"sigma": (self.sigma > 0, "above 0")})

    def loss(self, parts: Parts, batch: Rollouts, phase: Phase, noise: Noise) -> Loss:
        """Compute the error of each row; its reward is the score, from 0 to 1."""
        assert batch.reward is not None, "rollouts of this objective have their scores as reward"
        log_ratio_B, model_loss = compute_implicit_reward(self.base, parts, self.reference, batch.batch, phase, noise)
        error_B = log_ratio_B / self.sigma - batch.reward
        metrics = {"log_ratio": log_ratio_B.mean().detach(), "reward": batch.reward.float().mean()}
        return Loss(error_B.square(), torch.ones_like(model_loss.per_sample), metrics)
