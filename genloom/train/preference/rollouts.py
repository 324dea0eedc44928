"""A learner's own attempts, judged as they are drawn: the batch of a step follows from the step and the weights.

Shape letters: B attempts of a step, G prompts of a step, K attempts a prompt, R judges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from genloom.model import Model
from genloom.noise import build_training_noise
from genloom.objectives.grpo import compute_advantages
from genloom.objectives.reference import with_reference_nll
from genloom.objectives.sft import build_completion_batch
from genloom.train.preference.dataset import TokenRows, shuffled_index
from genloom.types import Batch, Objective, Parts, Rollouts


@dataclass(frozen=True)
class ScoredRollouts:
    """Attempts as symbols, and what each judge gives for them; judges need not share a scale."""

    prompts: TokenRows  # B
    answers: TokenRows  # B
    rewards_RB: np.ndarray


class RolloutEnvironment(Protocol):
    """Prompts to try oneself at, and judges."""

    @property
    def digest(self) -> str:
        """Of the prompts and of all that the judges go by."""
        ...

    def __len__(self) -> int:
        """How many prompts there are."""
        ...

    def save(self, folder: Path) -> None: ...

    def sample_rollouts(self, model: Model, indices: Sequence[int], nonces: Sequence[int]) -> ScoredRollouts:
        """An attempt of the model, as its weights are now, at each prompt chosen; equal nonces give equal chances."""
        ...


@dataclass(frozen=True)
class RolloutBatches:
    """The batches of a run. `model` is the one that learns, so that a step's attempts are those of its weights.

    No state is kept: the prompts and the chance of a step are a function of (seed, step), and what is drawn with them a
    function of the weights, so a run that is resumed draws what the whole one would have drawn.
    """

    environment: RolloutEnvironment
    model: Model
    base_objective: Objective[Batch]
    reference: Parts  # the model before it learned
    batch_size: int  # attempts a step
    num_generations: int  # attempts a prompt
    seed: int
    advantage_estimator: Literal["grpo", "rloo"] = "grpo"

    def __call__(self, step: int) -> Rollouts:
        num_prompts = self.batch_size // self.num_generations
        indices = [shuffled_index(step * num_prompts + n, len(self.environment), self.seed) for n in range(num_prompts)]
        noise = build_training_noise(self.seed, step, 0, self.batch_size)
        nonces = [((self.seed + 1) << 48) ^ nonce for nonce in noise.nonces]  # none that an output of the model has
        rollouts = self.environment.sample_rollouts(
            self.model, np.repeat(indices, self.num_generations).tolist(), nonces
        )
        prompts_B, answers_B = (
            [np.array(row, np.int64) for row in side] for side in (rollouts.prompts, rollouts.answers)
        )
        batch = build_completion_batch(prompts_B, answers_B, self.model.design.context_length).map(
            lambda t: t.to(self.model.device)
        )
        # Judges have different scales; in standard deviations of a group, each has the same say.
        rewards_RGK = (
            torch.from_numpy(rollouts.rewards_RB).float().view(len(rollouts.rewards_RB), -1, self.num_generations)
        )
        advantage_B = (
            torch.stack([compute_advantages(rewards_GK, self.advantage_estimator) for rewards_GK in rewards_RGK])
            .mean(0)
            .flatten()
        )
        reward_B = rewards_RGK.mean(0).flatten()
        batch = with_reference_nll(self.base_objective, self.reference, batch, noise)
        return Rollouts(batch, advantage_B, reward=reward_B)
