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
from genloom.noise import training_noise
from genloom.objectives.answers import answered
from genloom.objectives.policy import advantages
from genloom.objectives.reference import known
from genloom.train.lessons import Rows, place_of
from genloom.types import Attempts, Batch, Objective, Parts


@dataclass(frozen=True)
class Tried:
    """Attempts as symbols, and what each judge gives for them; judges need not share a scale."""

    prompts: Rows  # B
    answers: Rows  # B
    rewards_RB: np.ndarray


class Practice(Protocol):
    """Prompts to try oneself at, and judges."""

    @property
    def digest(self) -> str:
        """Of the prompts and of all that the judges go by."""
        ...

    def __len__(self) -> int:
        """How many prompts there are."""
        ...

    def save(self, folder: Path) -> None: ...

    def tried(self, model: Model, chosen: Sequence[int], nonces: Sequence[int]) -> Tried:
        """An attempt of the model, as its weights are now, at each prompt chosen; equal nonces give equal chances."""
        ...


@dataclass(frozen=True)
class Attempting:
    """The batches of a run. `model` is the one that learns, so that a step's attempts are those of its weights.

    No state is kept: the prompts and the chance of a step are a function of (seed, step), and what is drawn with them a
    function of the weights, so a run that is resumed draws what the whole one would have drawn.
    """

    practice: Practice
    model: Model
    base: Objective[Batch]
    reference: Parts  # the model before it learned
    rows: int  # attempts a step
    group: int  # attempts a prompt
    seed: int
    how: Literal["grpo", "rloo"] = "grpo"

    def __call__(self, step: int) -> Attempts:
        prompts = self.rows // self.group
        places = [place_of(step * prompts + n, len(self.practice), self.seed) for n in range(prompts)]
        noise = training_noise(self.seed, step, 0, self.rows)
        nonces = [((self.seed + 1) << 48) ^ nonce for nonce in noise.nonces]  # none that an output of the model has
        tried = self.practice.tried(self.model, np.repeat(places, self.group).tolist(), nonces)
        prompts_B, answers_B = ([np.array(row, np.int64) for row in side] for side in (tried.prompts, tried.answers))
        batch = answered(prompts_B, answers_B, self.model.design.length).map(lambda t: t.to(self.model.device))
        # Judges have different scales; in standard deviations of a group, each has the same say.
        rewards_RGK = torch.from_numpy(tried.rewards_RB).float().view(len(tried.rewards_RB), -1, self.group)
        advantage_B = torch.stack([advantages(each, self.how) for each in rewards_RGK]).mean(0).flatten()
        earned_B = rewards_RGK.mean(0).flatten()
        batch = known(self.base, self.reference, batch, noise)
        return Attempts(batch, advantage_B, earned=earned_B)
