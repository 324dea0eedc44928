"""Prompts as the symbols that a text goes on from, and how many symbols come after them."""

from collections.abc import Sequence

import numpy as np

from genloom.model import Model
from genloom.types import Codec, TokenSpace


def compute_length_budget(model: Model, max_tokens: int, is_causal: bool) -> tuple[int, int]:
    """How many symbols to write, and how many before them are read; `length` 0 leaves that to the network.

    A causal network goes on as long as one likes and reads what lies just behind; another sees all of it at once.
    """
    context_length = model.design.context_length
    if is_causal:
        return max_tokens, context_length
    if max_tokens >= context_length:
        raise ValueError(
            f"A model with the objective {model.design.objective!r} sees {context_length} symbols at once, prompt included: "
            f"choose a length below {context_length}."
        )
    num_tokens = max_tokens or max(context_length // 2, 1)
    return num_tokens, context_length - num_tokens


def validate_prompt_ids(
    prompt_ids: tuple[tuple[int, ...], ...], space: TokenSpace, max_length: int
) -> tuple[np.ndarray, ...]:
    """Ready-made rows, of each as much of its end as the network reads; ValueError for symbols that are none."""
    if not all(row and 0 <= min(row) <= max(row) < space.vocab_size for row in prompt_ids):
        raise ValueError(f"Symbols to go on from must be numbers from 0 to {space.vocab_size - 1}, one or more.")
    return tuple(np.array(row[-max_length:], dtype=np.int64) for row in prompt_ids)


def list_suppressed_tokens(codec: Codec, eos_ids: Sequence[int]) -> tuple[int, ...]:
    """Symbols that mark roles and padding: never written unless asked for."""
    return tuple(i for i in getattr(codec, "special_tokens", {}).values() if i not in eos_ids)
