"""Several symbols read in one step where a text repeats itself, with the same symbols written as one by one.

Shape letters: B batch, V vocabulary.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from genloom.types import CausalNetwork, DecodingCache

NGRAM_SIZE = 3  # symbols that must have stood in the text before, for the ones behind them to be guessed
MAX_DRAFT_TOKENS = 8  # a guess; each more symbol of a step costs a fifth of a step


class TruncatingNetwork(CausalNetwork, Protocol):
    """A network that gives the same bits for a symbol read in company as for one read alone, and can read it anew."""

    def truncate(self, cache: DecodingCache, length: int) -> None:
        """Let every row have read `length` symbols at most."""
        ...


class PromptLookup:
    """The logits after each symbol of one row, guessed symbols read along (prompt lookup decoding, Saxena 2023).

    What is chosen at a place depends on the logits and the symbols before it alone. So a guess that turns out right
    gave the very logits that are asked for next, and a wrong one is read over.
    """

    def __init__(self, network: TruncatingNetwork, cache: DecodingCache, max_length: int):
        self.network, self.cache_folder, self.max_length = network, cache, max_length
        self.draft_tokens: list[int] = []  # symbols expected next, and the logits after each
        self.draft_logits: list[Tensor] = []
        self.num_draft_tokens = 2  # how many symbols to guess; more while guesses hold

    def next_logits(self, context: np.ndarray) -> Tensor:
        """The logits (1, V) after a text of which all symbols but the last were given before."""
        if self.draft_tokens and self.draft_tokens[0] == context[-1]:
            self.draft_tokens.pop(0)
            self.num_draft_tokens = (
                self.num_draft_tokens if self.draft_tokens else min(2 * self.num_draft_tokens, MAX_DRAFT_TOKENS)
            )
            return self.draft_logits.pop(0)
        if self.draft_tokens:
            self.num_draft_tokens = max(self.num_draft_tokens // 2, 1)
        self.network.truncate(self.cache_folder, len(context) - 1)
        self.draft_tokens = find_draft_tokens(context)[: min(self.num_draft_tokens, self.max_length - len(context))]
        input_BL = torch.tensor([[int(context[-1]), *self.draft_tokens]])
        first_logits, *self.draft_logits = self.network(input_BL, cache=self.cache_folder).unbind(1)
        return first_logits


def find_draft_tokens(context: np.ndarray) -> list[int]:
    """What followed the last few symbols of a text where they stood in it the time before."""
    if len(context) <= NGRAM_SIZE:
        return []
    is_match = np.ones(len(context) - NGRAM_SIZE, dtype=bool)
    for k in range(NGRAM_SIZE):
        is_match &= context[k : k + len(is_match)] == context[len(context) - NGRAM_SIZE + k]
    positions = np.flatnonzero(is_match)
    return context[positions[-1] + NGRAM_SIZE :][:MAX_DRAFT_TOKENS].tolist() if len(positions) else []
