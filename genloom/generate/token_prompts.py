"""Prompts as tokens, and the number of tokens to generate after them."""

from collections.abc import Sequence

import numpy as np

from genloom.capabilities import get_special_tokens
from genloom.errors import GenloomError
from genloom.model import Model
from genloom.types import Codec, TokenSpace


def compute_length_budget(model: Model, max_tokens: int, is_causal: bool) -> tuple[int, int]:
    """Return how many tokens to generate, and how many prompt tokens to read; `max_tokens` 0 is the network's default.

    A causal network can generate any number of tokens, reading a sliding context; others see the whole text at once.
    """
    context_length = model.design.context_length
    if is_causal:
        return max_tokens, context_length
    if max_tokens >= context_length:
        raise GenloomError(
            "generate.max_tokens_too_large",
            objective=model.design.objective,
            context_length=context_length,
            max_tokens=max_tokens,
        )
    num_tokens = max_tokens or max(context_length // 2, 1)
    return num_tokens, context_length - num_tokens


def validate_prompt_ids(
    prompt_ids: tuple[tuple[int, ...], ...], space: TokenSpace, max_length: int
) -> tuple[np.ndarray, ...]:
    """Return tokenized prompts, truncated from the left to what the network reads; ValueError for invalid tokens."""
    if not all(row and 0 <= min(row) <= max(row) < space.vocab_size for row in prompt_ids):
        raise GenloomError("generate.bad_prompt_ids", max_id=space.vocab_size - 1)
    return tuple(np.array(row[-max_length:], dtype=np.int64) for row in prompt_ids)


def validate_logit_bias(logit_bias: Sequence[tuple[int, float]], space: TokenSpace) -> dict[int, float]:
    """Return what is added to the logits, by token; raise ValueError for a token outside the vocabulary."""
    if bad := [token for token, _ in logit_bias if not 0 <= token < space.vocab_size]:
        raise GenloomError("generate.bad_logit_bias", token=bad[0], max_id=space.vocab_size - 1)
    return dict(logit_bias)


def list_suppressed_tokens(codec: Codec, eos_ids: Sequence[int]) -> tuple[int, ...]:
    """Return the special tokens (roles, padding) that must not be generated: all but `eos_ids`."""
    return tuple(i for i in get_special_tokens(codec).values() if i not in eos_ids)
