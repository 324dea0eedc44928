"""On-policy rollouts with rewards; the batch of a step is a function of the step and the weights.

Shape letters: B rollouts of a step, G prompts of a step, K rollouts per prompt, R reward functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from genloom.model import Model
from genloom.noise import build_training_noise
from genloom.objectives.grpo import compute_advantages
from genloom.objectives.reference import with_reference_nll
from genloom.objectives.sft import build_completion_batch
from genloom.train.data.order import EpochOrder
from genloom.train.preference.dataset import TokenRows
from genloom.types import Batch, Condition, Objective, Parts, Rollouts


@dataclass(frozen=True)
class ScoredRollouts:
    """Rollouts as token ids, with the rewards of every reward function; their scales may differ."""

    prompts: TokenRows  # B
    answers: TokenRows  # B
    rewards_RB: np.ndarray
    cond: Condition | None = None
    values: tuple[Any, ...] = ()  # B, the answers as values of the medium


class RolloutEnvironment(Protocol):
    """Prompts and reward functions."""

    @property
    def digest(self) -> str:
        """Of the prompts and of everything that determines the rewards."""
        ...

    def __len__(self) -> int:
        """Return the number of prompts."""
        ...

    def save(self, folder: Path) -> None: ...

    def sample_rollouts(self, model: Model, indices: Sequence[int], nonces: Sequence[int]) -> ScoredRollouts:
        """Sample an answer of the model, with its present weights, to each of these prompts; nonces key the noise."""
        ...


@dataclass(frozen=True)
class RolloutBatches:
    """Batches of rollouts of `model`, the one in training, with its present weights.

    There is no state: the prompts and the noise of a step are functions of (seed, step), and the rollouts also of the
    weights, so that a resumed run samples what an uninterrupted one would have sampled.
    """

    environment: RolloutEnvironment
    model: Model
    base_objective: Objective[Batch]
    reference: Parts  # the networks before training
    batch_size: int  # rollouts per step
    num_generations: int  # rollouts per prompt
    seed: int
    advantage_estimator: Literal["grpo", "rloo"] = "grpo"

    def __call__(self, step: int) -> Rollouts:
        num_prompts = self.batch_size // self.num_generations
        indices = self.order(step * num_prompts + np.arange(num_prompts))
        noise = build_training_noise(self.seed, step, 0, self.batch_size)
        nonces = [((self.seed + 1) << 48) ^ nonce for nonce in noise.nonces]  # unlike those of any stored output
        rollouts = self.environment.sample_rollouts(
            self.model, np.repeat(indices, self.num_generations).tolist(), nonces
        )
        prompts_B, answers_B = (
            [np.array(row, np.int64) for row in side] for side in (rollouts.prompts, rollouts.answers)
        )
        batch = build_completion_batch(prompts_B, answers_B, self.model.design.context_length).map(
            lambda t: t.to(self.model.device)
        )
        batch = replace(batch, cond=rollouts.cond)
        # Reward functions have different scales; normalised within a group, they count equally.
        rewards_RB = torch.from_numpy(rollouts.rewards_RB).float()
        rewards_RGK = rewards_RB.view(len(rewards_RB), -1, self.num_generations)
        advantages = [compute_advantages(rewards_GK, self.advantage_estimator) for rewards_GK in rewards_RGK]
        advantage_B = torch.stack(advantages).mean(0).flatten()
        reward_B = rewards_RGK.mean(0).flatten()
        batch = with_reference_nll(self.base_objective, self.reference, batch, noise)
        return Rollouts(batch, advantage_B, reward=reward_B)

    @cached_property
    def order(self) -> EpochOrder:
        return EpochOrder.shuffle(len(self.environment), self.seed)
