"""Batches of prompts with their answers, in which only the answers count.

Shape letters: B batch, L length.
"""

from collections.abc import Sequence

import numpy as np
import torch

from genloom.errors import GenloomError
from genloom.types import Batch, PreferencePairs, UnpairedPreferences

TokenArray = np.ndarray  # (L,) int64


def build_completion_batch(prompts: Sequence[TokenArray], answers: Sequence[TokenArray], context_length: int) -> Batch:
    """Return each prompt followed by its answer, cut to `context_length`, with a loss mask on the answer.

    Raise ValueError if a prompt is empty or leaves no room for its answer.
    """
    for prompt in prompts:
        if not 0 < len(prompt) < context_length:
            raise GenloomError("objectives.prompt_length", maximum=context_length - 1, length=len(prompt))
    rows = [np.concatenate([p, a])[:context_length].astype(np.int64) for p, a in zip(prompts, answers, strict=True)]
    lengths = np.array([len(row) for row in rows])
    prompt_lengths = np.array([len(prompt) for prompt in prompts])
    positions = np.arange(lengths.max())
    x_BL = np.stack([np.pad(row, (0, len(positions) - len(row))) for row in rows])
    mask_BL = (positions >= prompt_lengths[:, None]) & (positions < lengths[:, None])
    return Batch(torch.from_numpy(x_BL), mask=torch.from_numpy(mask_BL), lengths=torch.from_numpy(lengths))


def build_preference_pairs(
    prompts: Sequence[TokenArray], chosen: Sequence[TokenArray], rejected: Sequence[TokenArray], context_length: int
) -> PreferencePairs:
    return PreferencePairs(
        build_completion_batch(prompts, chosen, context_length),
        build_completion_batch(prompts, rejected, context_length),
    )


def build_unpaired_preferences(
    prompts: Sequence[TokenArray], answers: Sequence[TokenArray], desirable: Sequence[bool], context_length: int
) -> UnpairedPreferences:
    """Return single answers; the mismatched answer of each row is that of the previous row, to another prompt."""
    mismatched = [*answers[-1:], *answers[:-1]]
    return UnpairedPreferences(
        build_completion_batch(prompts, answers, context_length),
        torch.tensor(desirable),
        build_completion_batch(prompts, mismatched, context_length),
    )
