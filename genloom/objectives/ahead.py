"""Several symbols read in one step where a text repeats itself, with the same symbols written as one by one.

Shape letters: B batch, V vocabulary.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from genloom.types import Cache, CausalNetwork

PHRASE = 3  # symbols that must have stood in the text before, for the ones behind them to be guessed
LONGEST = 8  # a guess; each more symbol of a step costs a fifth of a step


class Rewinding(CausalNetwork, Protocol):
    """A network that gives the same bits for a symbol read in company as for one read alone, and can read it anew."""

    def rewind(self, cache: Cache, length: int) -> None:
        """Let every row have read `length` symbols at most."""
        ...


class Ahead:
    """The logits after each symbol of one row, guessed symbols read along (prompt lookup decoding, Saxena 2023).

    What is chosen at a place depends on the logits and the symbols before it alone. So a guess that turns out right
    gave the very logits that are asked for next, and a wrong one is read over.
    """

    def __init__(self, network: Rewinding, cache: Cache, room: int):
        self.network, self.cache, self.room = network, cache, room
        self.guess: list[int] = []  # symbols expected next, and the logits after each
        self.logits: list[Tensor] = []
        self.reach = 2  # how many symbols to guess; more while guesses hold

    def after(self, context: np.ndarray) -> Tensor:
        """The logits (1, V) after a text of which all symbols but the last were given before."""
        if self.guess and self.guess[0] == context[-1]:
            self.guess.pop(0)
            self.reach = self.reach if self.guess else min(2 * self.reach, LONGEST)
            return self.logits.pop(0)
        if self.guess:
            self.reach = max(self.reach // 2, 1)
        self.network.rewind(self.cache, len(context) - 1)
        self.guess = repeated(context)[: min(self.reach, self.room - len(context))]
        read = torch.tensor([[int(context[-1]), *self.guess]])
        first, *self.logits = self.network(read, cache=self.cache).unbind(1)
        return first


def repeated(context: np.ndarray) -> list[int]:
    """What followed the last few symbols of a text where they stood in it the time before."""
    if len(context) <= PHRASE:
        return []
    same = np.ones(len(context) - PHRASE, dtype=bool)
    for k in range(PHRASE):
        same &= context[k : k + len(same)] == context[len(context) - PHRASE + k]
    places = np.flatnonzero(same)
    return context[places[-1] + PHRASE :][:LONGEST].tolist() if len(places) else []
