"""Learn from samples that were liked or disliked each by itself, with any objective whose loss bounds a likelihood."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.objectives.reference import log_ratio
from genloom.types import Batch, Condition, Loss, Objective, Opinions, Parts, Role, Turn


@dataclass(frozen=True)
class KTO:
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024), for flow and the like as Diffusion-KTO (Li et al. 2024).

    What was liked has to rise above a reference point, what was disliked to fall below it; what lies far on either side
    counts little, which makes it calm about raters who err.
    """

    base: Objective[Batch]
    reference: Parts = field(default_factory=dict)  # the model before it learned; none where the batches know it
    beta: float = 0.1  # how far the model may move from its reference
    anchor: float = 1.0  # keeps what was liked likely
    good: float = 1.0  # weight of what was liked; good x likes near bad x dislikes is a good balance
    bad: float = 1.0

    def __post_init__(self) -> None:
        if self.beta <= 0 or min(self.anchor, self.good, self.bad) < 0:
            raise ValueError(
                "Of learning from thumbs, beta must be above 0, and anchor, good and bad 0 or more, "
                f"got {self.beta}, {self.anchor}, {self.good} and {self.bad}."
            )

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.base.turns

    @property
    def roles(self) -> dict[str, Role]:
        return self.base.roles

    def prepare(self, parts: Parts, batch: Opinions, turn: Turn, noise: Noise, size: int) -> Opinions:
        """The batch with its reference point: the mean rise of answers to other prompts, taken as 0 where it is less.

        It estimates how far the model has moved (section 4.1). It belongs to the whole batch, so the loop asks for it
        before it cuts the batch into pieces of `size` rows.
        """
        pieces = [slice(first, first + size) for first in range(0, len(batch), size)]
        with torch.no_grad():
            rises = [
                log_ratio(self.base, parts, self.reference, batch.others.rows(piece), turn, noise.rows(piece))[0]
                for piece in pieces
            ]
        return replace(batch, baseline=torch.cat(rises).mean().clamp(min=0).repeat(len(batch)))

    def loss(self, parts: Parts, batch: Opinions, turn: Turn, noise: Noise) -> Loss:
        """Equation 8 of the paper, plus `anchor` times the loss a unit of what was liked."""
        assert batch.baseline is not None, "prepare() comes before the loss"
        rise_B, own = log_ratio(self.base, parts, self.reference, batch.batch, turn, noise)
        good_B = batch.good.to(rise_B.dtype)
        value_B = (self.beta * (2 * good_B - 1) * (rise_B - batch.baseline)).sigmoid()
        cost_B = (self.good * good_B + self.bad * (1 - good_B)) * (1 - value_B)
        anchored_B = self.anchor * good_B * own.per_sample / own.units.clamp(min=1)
        metrics = {"value": value_B.mean().detach(), "baseline": batch.baseline.mean()}
        return Loss(cost_B + anchored_B, torch.ones_like(cost_B), metrics)

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, controls)
