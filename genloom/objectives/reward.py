"""Learn to judge: a score for each sample, from pairs of which one was preferred."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.types import (
    Batch,
    Condition,
    ConditionSpec,
    Loss,
    NetworkSpec,
    Parts,
    Phase,
    PreferencePairs,
    SignalSpace,
    TokenSpace,
)


@dataclass(frozen=True)
class SamplingParams:
    """Nothing: a judge has no sampler."""


@dataclass(frozen=True)
class Reward:
    """The model of Bradley and Terry (1952): the difference of two scores is the log-odds that one is preferred."""

    space: TokenSpace | SignalSpace
    center_rewards_coefficient: float = (
        0.01  # pulls the sum of a pair's scores to zero, which pairs leave free (Eisenstein et al. 2023)
    )
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    phases = (Phase("reward", ("reward",)),)

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        return {
            "reward": NetworkSpec(
                self.space, SignalSpace(1), is_causal=isinstance(self.space, TokenSpace), condition=self.condition
            )
        }

    def loss(self, parts: Parts, batch: PreferencePairs, phase: Phase, noise: Noise) -> Loss:
        """Minus the log-likelihood of the raters' choices, in nats a pair (Ouyang et al. 2022, equation 1)."""
        chosen_B, rejected_B = self.compute_rewards(parts, batch.chosen), self.compute_rewards(parts, batch.rejected)
        metrics = {"agreement": (chosen_B > rejected_B).float().mean().detach()}
        per_sample = (
            F.softplus(rejected_B - chosen_B) + self.center_rewards_coefficient * (chosen_B + rejected_B).square()
        )
        return Loss(per_sample, torch.ones_like(per_sample), metrics)

    def compute_rewards(self, parts: Parts, batch: Batch) -> Tensor:
        """How good each sample is, B; only differences between answers to the same prompt mean anything."""
        return parts["reward"](batch.x, cond=batch.cond, lengths=batch.lengths)[:, 0].float()

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: Any) -> Iterator[Tensor]:
        raise ValueError(
            "A reward model judges what others made; it makes nothing itself. Generate with another model."
        )


@torch.no_grad()
def init_reward_model(reward_model: nn.Module, model: nn.Module) -> None:
    """Give a judge what a model of the same network has learned of the language; its head starts at zero."""
    model_state, reward_state = model.state_dict(), reward_model.state_dict()
    matching_state = {
        n: t
        for n, t in model_state.items()
        if n in reward_state and reward_state[n].shape == t.shape and not n.startswith("head.")
    }
    missing = sorted(n for n in reward_state if n not in matching_state and not n.startswith("head."))
    assert not missing, f"the judge is another network than the model: {missing[:3]} are not there"
    reward_model.load_state_dict(matching_state, strict=False)
