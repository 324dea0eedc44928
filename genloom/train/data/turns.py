"""Samples that are turned at random while a network trains, where the codec and all conditions can be turned.

So each is encoded once, and not once for each turn. The turns of a step are drawn from (seed, step).

Shape letters: B rows, C channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from genloom.capabilities import TurnableCodec, TurnableConditioner
from genloom.conditioners import Conditioners
from genloom.train.data.order import build_rng
from genloom.types import Batch, Codec

TURN_STREAM = 2  # of the noise; 0 is the order, 1 the conditions that are lost


@dataclass(frozen=True)
class Turner:
    """The turns of the samples of a codec, and of the fields of their conditions."""

    codec: TurnableCodec
    fields: Sequence[tuple[int, TurnableConditioner]]  # the number of channels of each condition's field
    seed: int

    def __call__(self, batch: Batch, step: int, first: int = 0) -> Batch:
        """Return the rows of a step, from the row `first` on, with each in a turn of its own."""
        rng = build_rng(self.seed, step, TURN_STREAM)
        turns_B = rng.choice(np.array(self.codec.turns), first + len(batch.x))[first:]
        x = turn_rows(batch.x.numpy(), turns_B, self.codec.turn_samples)
        cond = batch.cond
        if cond is not None and cond.field is not None:
            field = turn_rows(cond.field.numpy(), turns_B, self.turn_fields)
            cond = replace(cond, field=torch.from_numpy(field))
        return replace(batch, x=torch.from_numpy(x), cond=cond)

    def turn_fields(self, field_BC: np.ndarray, turn: int) -> np.ndarray:
        """Return the fields of all conditions, which follow each other on the channels, in a turn."""
        parts, start = [], 0
        for num_channels, conditioner in self.fields:
            parts.append(conditioner.turn_fields(field_BC[:, start : start + num_channels], turn))
            start += num_channels
        return np.concatenate(parts, 1)


def turn_rows(values_B: np.ndarray, turns_B: np.ndarray, turn: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """Return each row in its turn."""
    turned_B = np.empty_like(values_B)
    for number in np.unique(turns_B).tolist():
        turned_B[turns_B == number] = turn(values_B[turns_B == number], number)
    return turned_B


def find_turner(codec: Codec, conditioners: Conditioners, seed: int) -> Turner | None:
    """Return the turner of samples; None if they or one of their conditions cannot be turned, or have no condition.

    Without a condition that is turned along, a turned value may be one that nobody would make.
    """
    turnable = [each for each in conditioners.values() if isinstance(each, TurnableConditioner)]
    if not isinstance(codec, TurnableCodec) or len(codec.turns) == 1 or not 0 < len(turnable) == len(conditioners):
        return None
    fields = [each.spec.field for each in conditioners.values()]
    return Turner(codec, tuple(zip(fields, turnable, strict=True)), seed)
