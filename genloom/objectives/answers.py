"""Prompts and the answers that were given to them, made batches in which the answers alone count.

Shape letters: B batch, L length.
"""

from collections.abc import Sequence

import numpy as np
import torch

from genloom.types import Batch, Opinions, Pairs

Symbols = np.ndarray  # (L,) int64


def answered(prompts: Sequence[Symbols], answers: Sequence[Symbols], length: int) -> Batch:
    """Each prompt with its answer after it, cut to the `length` that the model reads; the mask is on the answer.

    Raises ValueError for a prompt that is empty or leaves no room for its answer.
    """
    for prompt in prompts:
        if not 0 < len(prompt) < length:
            raise ValueError(
                f"A prompt must have from 1 to {length - 1} symbols for this model to answer it, got {len(prompt)}."
            )
    rows = [np.concatenate([p, a])[:length].astype(np.int64) for p, a in zip(prompts, answers, strict=True)]
    lengths = np.array([len(row) for row in rows])
    begins = np.array([len(prompt) for prompt in prompts])
    at = np.arange(lengths.max())
    x_BL = np.stack([np.pad(row, (0, len(at) - len(row))) for row in rows])
    mask_BL = (at >= begins[:, None]) & (at < lengths[:, None])
    return Batch(torch.from_numpy(x_BL), mask=torch.from_numpy(mask_BL), lengths=torch.from_numpy(lengths))


def pairs(prompts: Sequence[Symbols], wins: Sequence[Symbols], loses: Sequence[Symbols], length: int) -> Pairs:
    return Pairs(answered(prompts, wins, length), answered(prompts, loses, length))


def opinions(prompts: Sequence[Symbols], answers: Sequence[Symbols], good: Sequence[bool], length: int) -> Opinions:
    """Answers by themselves; beside each stands the answer of the row before it, which was given to another prompt."""
    others = [*answers[-1:], *answers[:-1]]
    return Opinions(answered(prompts, answers, length), torch.tensor(good), answered(prompts, others, length))
