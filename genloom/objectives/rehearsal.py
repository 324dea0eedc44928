"""Learn something new while reading again what was learned before, so that it is not forgotten."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from genloom.noise import Noise
from genloom.types import Attempts, Batch, Change, Condition, Loss, Objective, Opinions, Pairs, Parts, Role, Turn


@dataclass(frozen=True)
class Rehearsed:
    """A batch of something new, and as many rows of what is known."""

    news: Batch | Pairs | Opinions | Attempts
    known: Batch

    @property
    def weight(self) -> Tensor | None:
        return self.news.weight

    def map(self, change: Change) -> "Rehearsed":
        return replace(self, news=self.news.map(change), known=self.known.map(change))

    def rows(self, rows: slice) -> "Rehearsed":
        return replace(self, news=self.news.rows(rows), known=self.known.rows(rows))

    def __len__(self) -> int:
        return len(self.news)


@dataclass(frozen=True)
class Rehearsal:
    """Experience replay (Robins 1995): the old loss, a unit, beside the new one."""

    learning: Objective[Any]
    base: Objective[Batch]
    share: float = 1.0  # weight of the old loss

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.base.turns

    @property
    def roles(self) -> dict[str, Role]:
        return self.base.roles

    def loss(self, parts: Parts, batch: Rehearsed, turn: Turn, noise: Noise) -> Loss:
        new = self.learning.loss(parts, batch.news, turn, noise)
        old = self.base.loss(parts, batch.known, turn, noise)
        old_B = old.per_sample / old.units.clamp(min=1)
        metrics = {**new.metrics, "rehearsed": old_B.mean().detach()}
        return Loss(new.per_sample + self.share * new.units * old_B, new.units, metrics)

    def prepare(self, parts: Parts, batch: Rehearsed, turn: Turn, noise: Noise, size: int) -> Rehearsed:
        """What the new objective asks of a whole batch."""
        ready = getattr(self.learning, "prepare", None)
        return batch if ready is None else replace(batch, news=ready(parts, batch.news, turn, noise, size))

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, controls)
