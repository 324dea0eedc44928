"""Speculative decoding of repeated text: several tokens per step, with the same result as one by one.

Shape letters: B batch, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genloom.capabilities import PredictingConstraint, TruncatingNetwork
from genloom.types import DecodingCache

NGRAM_SIZE = 3  # tokens that must repeat for the tokens after them to be drafted
MAX_DRAFT_TOKENS = 8  # per draft; each additional token costs a fifth of a step


class PromptLookup:
    """The logits after each token of one row, computed together with drafted tokens (prompt lookup, Saxena 2023).

    The choice at a position depends only on its logits and the tokens before it. So the logits of a correct draft are
    those of the next step, and an incorrect draft is truncated.
    """

    def __init__(self, network: TruncatingNetwork, cache: DecodingCache, max_length: int):
        self.network, self.cache, self.max_length = network, cache, max_length
        self.draft_tokens: list[int] = []  # tokens expected next, and the logits after each
        self.draft_logits: list[Tensor] = []
        self.num_draft_tokens = 2  # size of the next draft; it grows while drafts are correct

    def next_logits(self, context: np.ndarray, predict: Callable[[], Sequence[int]] = tuple) -> Tensor:
        """Return the logits (1, V) after the context, whose tokens but the last were passed before.

        `predict` returns the tokens that a format makes follow, if it leaves no choice; they are drafted first.
        """
        if self.draft_tokens and self.draft_tokens[0] == context[-1]:
            self.draft_tokens.pop(0)
            if not self.draft_tokens:
                self.num_draft_tokens = min(2 * self.num_draft_tokens, MAX_DRAFT_TOKENS)
            return self.draft_logits.pop(0)
        if self.draft_tokens:
            self.num_draft_tokens = max(self.num_draft_tokens // 2, 1)
        self.network.truncate(self.cache, len(context) - 1)
        predicted = list(predict())
        num_tokens = MAX_DRAFT_TOKENS if predicted else self.num_draft_tokens
        drafted = predicted or find_draft_tokens(context)
        self.draft_tokens = drafted[: min(num_tokens, self.max_length - len(context))]
        input_BL = torch.tensor([[int(context[-1]), *self.draft_tokens]])
        first_logits, *self.draft_logits = self.network(input_BL, cache=self.cache).unbind(1)
        return first_logits


def find_draft_tokens(context: np.ndarray) -> list[int]:
    """Return the tokens that followed the last n-gram of the context at its previous occurrence."""
    if len(context) <= NGRAM_SIZE:
        return []
    is_match = np.ones(len(context) - NGRAM_SIZE, dtype=bool)
    for k in range(NGRAM_SIZE):
        is_match &= context[k : k + len(is_match)] == context[len(context) - NGRAM_SIZE + k]
    positions = np.flatnonzero(is_match)
    return context[positions[-1] + NGRAM_SIZE :][:MAX_DRAFT_TOKENS].tolist() if len(positions) else []


def predict_tokens(constraint: Any, contexts: Sequence[np.ndarray]) -> list[int]:
    """Return the tokens that a constraint makes follow the only row, as far as it can tell."""
    return constraint.predict_tokens(contexts) if isinstance(constraint, PredictingConstraint) else []
