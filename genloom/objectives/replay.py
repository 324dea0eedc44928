"""Experience replay: train on new data together with old data, against forgetting."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from genloom.capabilities import BatchPreparing
from genloom.noise import Noise
from genloom.objectives.wrapper import ObjectiveWrapper
from genloom.types import (
    Batch,
    Loss,
    Objective,
    Parts,
    Phase,
    PreferencePairs,
    Rollouts,
    TensorTree,
    UnpairedPreferences,
)


@dataclass(frozen=True)
class ReplayBatch(TensorTree):
    """A batch of new data, and as many rows of old data."""

    new: Batch | PreferencePairs | UnpairedPreferences | Rollouts
    replay: Batch

    @property
    def weight(self) -> Tensor | None:
        return self.new.weight

    def __len__(self) -> int:
        return len(self.new)


@dataclass(frozen=True, kw_only=True)
class ReplayMix(ObjectiveWrapper):
    """The loss of `objective` on the new data plus that of `base`, per term, on the old data (Robins 1995)."""

    objective: Objective[Any]
    replay_weight: float = 1.0

    def loss(self, parts: Parts, batch: ReplayBatch, phase: Phase, noise: Noise) -> Loss:
        new_loss = self.objective.loss(parts, batch.new, phase, noise)
        replay_loss = self.base.loss(parts, batch.replay, phase, noise)
        replay_loss_B = replay_loss.per_sample / replay_loss.num_terms.clamp(min=1)
        per_sample = new_loss.per_sample + self.replay_weight * new_loss.num_terms * replay_loss_B
        metrics = {**new_loss.metrics, "replay_loss": replay_loss_B.mean().detach()}
        return Loss(per_sample, new_loss.num_terms, metrics)

    def prepare_batch(
        self, parts: Parts, batch: ReplayBatch, phase: Phase, noise: Noise, micro_batch_size: int
    ) -> ReplayBatch:
        """Return the batch prepared by the new objective, if that prepares whole batches."""
        inner_prepare = self.objective.prepare_batch if isinstance(self.objective, BatchPreparing) else None
        if inner_prepare is None:
            return batch
        return replace(batch, new=inner_prepare(parts, batch.new, phase, noise, micro_batch_size))
