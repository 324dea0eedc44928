"""Batches of rollouts with their scores, beside replayed ones; a function of the step, the weights and the memory.

Shape letters: B rows of a step, R reward functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from genloom.model import Model
from genloom.noise import build_training_noise
from genloom.objectives.reference import with_reference_nll
from genloom.objectives.sft import build_completion_batch
from genloom.train.data.order import EpochOrder
from genloom.train.preference.rollouts import RolloutEnvironment, ScoredRollouts
from genloom.train.preference.score_memory import ScoredSample, ScoreMemory, combine_scores, penalise_families
from genloom.types import Batch, Condition, Objective, Parts, Rollouts


class ScoreEnvironment(RolloutEnvironment, Protocol):
    """An environment that can also name values and encode the prompts of earlier rollouts."""

    def identify_answers(self, rollouts: ScoredRollouts) -> list[tuple[str, str]]:
        """Return the key and the family of each rollout."""
        ...

    def get_prompt_ids(self, index: int) -> tuple[int, ...]:
        """Return the tokens of a prompt."""
        ...

    def encode_condition(self, model: Model, indices: Sequence[int]) -> Condition | None:
        """Return the conditions of prompts, a row each."""
        ...


@dataclass(frozen=True)
class ScoredBatches:
    """Batches of new rollouts of `model`, with its present weights, and of the best ones so far."""

    environment: ScoreEnvironment
    model: Model
    base_objective: Objective[Batch]
    reference: Parts  # the networks before training
    batch_size: int  # rows of a step
    num_replayed: int  # of them, the best of all rollouts so far
    family_size: int  # samples of a family that are rewarded; 0: any number
    seed: int
    memory: ScoreMemory

    @property
    def num_rollouts(self) -> int:
        return self.batch_size - self.num_replayed

    def __call__(self, step: int) -> Rollouts:
        self.memory.rewind(step)
        indices = self.order(step * self.num_rollouts + np.arange(self.num_rollouts)).tolist()
        noise = build_training_noise(self.seed, step, 0, self.batch_size)
        nonces = [((self.seed + 1) << 48) ^ nonce for nonce in noise.nonces[: self.num_rollouts]]
        samples = self.score_rollouts(step, indices, nonces)
        rewards = self.reward_samples(samples)
        self.memory.add(samples)
        best = self.memory.select_best(self.num_replayed, self.family_size)
        rows = [*samples, *best][: self.batch_size]
        rewards = [*rewards, *(sample.score for sample in best)]
        weights = [*self.weigh_samples(samples), *([1.0] * len(best))]
        while len(rows) < self.batch_size:  # too few are known yet
            rows, rewards, weights = [*rows, samples[0]], [*rewards, 0.0], [*weights, 0.0]
        prompts = [np.array(self.environment.get_prompt_ids(sample.prompt), np.int64) for sample in rows]
        answers = [np.array(sample.answer, np.int64) for sample in rows]
        batch = build_completion_batch(prompts, answers, self.model.design.context_length)
        batch = batch.map(lambda t: t.to(self.model.device))
        cond = self.environment.encode_condition(self.model, [sample.prompt for sample in rows])
        batch = with_reference_nll(self.base_objective, self.reference, replace(batch, cond=cond), noise)
        reward_B = torch.tensor(rewards, dtype=torch.float32)
        weight_B = torch.tensor(weights, dtype=torch.float32)
        is_new_B = torch.arange(self.batch_size) < self.num_rollouts
        advantage_B = reward_B - reward_B[: self.num_rollouts].mean()
        return Rollouts(batch, advantage_B, weight=weight_B, reward=reward_B, is_new=is_new_B)

    def score_rollouts(self, step: int, indices: Sequence[int], nonces: Sequence[int]) -> list[ScoredSample]:
        """Sample answers to these prompts, and score them."""
        rollouts = self.environment.sample_rollouts(self.model, indices, nonces)
        scores = combine_scores(rollouts.rewards_RB).tolist()
        names = self.environment.identify_answers(rollouts)
        rows = zip(indices, rollouts.answers, scores, names, strict=True)
        return [ScoredSample(step, key, prompt, answer, score, family) for prompt, answer, score, (key, family) in rows]

    def reward_samples(self, samples: Sequence[ScoredSample]) -> list[float]:
        """Return the score of each sample, 0 if its family is full."""
        counts = self.memory.count_families()
        scores, families = [sample.score for sample in samples], [sample.family for sample in samples]
        return penalise_families(scores, families, counts, self.family_size).tolist()

    def weigh_samples(self, samples: Sequence[ScoredSample]) -> list[float]:
        """Return 1 for each sample, and 0 for one that occurred before in its batch."""
        keys = [sample.key for sample in samples]
        return [float(key not in keys[:index]) for index, key in enumerate(keys)]

    @cached_property
    def order(self) -> EpochOrder:
        return EpochOrder.shuffle(len(self.environment), self.seed)
