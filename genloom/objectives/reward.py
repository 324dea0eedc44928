"""Learn to judge: a score for each sample, from pairs of which one was preferred."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.types import Batch, Cond, Condition, Loss, Pairs, Parts, Role, Signal, Tokens, Turn


@dataclass(frozen=True)
class Controls:
    """Nothing: a judge has no sampler."""


@dataclass(frozen=True)
class Reward:
    """The model of Bradley and Terry (1952): the difference of two scores is the log-odds that one is preferred."""

    space: Tokens | Signal
    centre: float = 0.01  # pulls the sum of a pair's scores to zero, which pairs leave free (Eisenstein et al. 2023)
    cond: Cond = field(default_factory=Cond)
    turns = (Turn("judge", ("judge",)),)

    @property
    def roles(self) -> dict[str, Role]:
        return {"judge": Role(self.space, Signal(1), causal=isinstance(self.space, Tokens), cond=self.cond)}

    def loss(self, parts: Parts, batch: Pairs, turn: Turn, noise: Noise) -> Loss:
        """Minus the log-likelihood of the raters' choices, in nats a pair (Ouyang et al. 2022, equation 1)."""
        win_B, lose_B = self.score(parts, batch.win), self.score(parts, batch.lose)
        metrics = {"agreement": (win_B > lose_B).float().mean().detach()}
        per_sample = F.softplus(lose_B - win_B) + self.centre * (win_B + lose_B).square()
        return Loss(per_sample, torch.ones_like(per_sample), metrics)

    def score(self, parts: Parts, batch: Batch) -> Tensor:
        """How good each sample is, B; only differences between answers to the same prompt mean anything."""
        return parts["judge"](batch.x, cond=batch.cond, lengths=batch.lengths)[:, 0].float()

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Any) -> Iterator[Tensor]:
        raise ValueError(
            "A reward model judges what others made; it makes nothing itself. Generate with another model."
        )


@torch.no_grad()
def begin_from(judge: nn.Module, model: nn.Module) -> None:
    """Give a judge what a model of the same network has learned of the language; its head starts at zero."""
    learned, own = model.state_dict(), judge.state_dict()
    fitting = {n: t for n, t in learned.items() if n in own and own[n].shape == t.shape and not n.startswith("head.")}
    missing = sorted(n for n in own if n not in fitting and not n.startswith("head."))
    assert not missing, f"the judge is another network than the model: {missing[:3]} are not there"
    judge.load_state_dict(fitting, strict=False)
