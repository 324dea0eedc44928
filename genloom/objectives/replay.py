"""Learn something new while reading again what was learned before, so that it is not forgotten."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from genloom.noise import Noise
from genloom.types import (
    Batch,
    Condition,
    Loss,
    NetworkSpec,
    Objective,
    Parts,
    Phase,
    PreferencePairs,
    Rollouts,
    TensorFn,
    UnpairedPreferences,
)


@dataclass(frozen=True)
class ReplayBatch:
    """A batch of something new, and as many rows of what is known."""

    new: Batch | PreferencePairs | UnpairedPreferences | Rollouts
    replay: Batch

    @property
    def weight(self) -> Tensor | None:
        return self.new.weight

    def map(self, change: TensorFn) -> "ReplayBatch":
        return replace(self, new=self.new.map(change), replay=self.replay.map(change))

    def select_rows(self, rows: slice) -> "ReplayBatch":
        return replace(self, new=self.new.select_rows(rows), replay=self.replay.select_rows(rows))

    def __len__(self) -> int:
        return len(self.new)


@dataclass(frozen=True)
class ReplayMix:
    """Experience replay (Robins 1995): the old loss, a unit, beside the new one."""

    objective: Objective[Any]
    base: Objective[Batch]
    replay_weight: float = 1.0  # weight of the old loss

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.base.phases

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        return self.base.network_specs

    def loss(self, parts: Parts, batch: ReplayBatch, phase: Phase, noise: Noise) -> Loss:
        new_loss = self.objective.loss(parts, batch.new, phase, noise)
        replay_loss = self.base.loss(parts, batch.replay, phase, noise)
        replay_loss_B = replay_loss.per_sample / replay_loss.num_terms.clamp(min=1)
        metrics = {**new_loss.metrics, "replay_loss": replay_loss_B.mean().detach()}
        return Loss(
            new_loss.per_sample + self.replay_weight * new_loss.num_terms * replay_loss_B, new_loss.num_terms, metrics
        )

    def prepare_batch(
        self, parts: Parts, batch: ReplayBatch, phase: Phase, noise: Noise, micro_batch_size: int
    ) -> ReplayBatch:
        """What the new objective asks of a whole batch."""
        inner_prepare = getattr(self.objective, "prepare_batch", None)
        return (
            batch
            if inner_prepare is None
            else replace(batch, new=inner_prepare(parts, batch.new, phase, noise, micro_batch_size))
        )

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, params)
