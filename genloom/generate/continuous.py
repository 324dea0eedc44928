"""Texts of several users written in one batch, which each joins and leaves between two steps.

Yu et al. 2022, "Orca: a distributed serving system for transformer-based generative models".

Shape letters: B rows, L length, V vocabulary.
"""

from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
import torch
from torch import nn

from genloom.noise import Noise
from genloom.objectives.autoregressive import Controls, read_to_end, symbols
from genloom.types import Cache, CausalNetwork, Tokens


class Seats(Cache, Protocol):
    """A memory of which a row can be given to another text."""

    def empty(self, row: int) -> None: ...


@dataclass
class Text:
    """One user's text: what was read or written so far, and what the network has still to read of it."""

    nonce: int
    controls: Controls
    context: np.ndarray
    unread: np.ndarray
    written: list[int] = field(default_factory=list)


class Continuous:
    """A batch of `rows` places for texts of up to `room` symbols; each text is what it would be if written alone."""

    def __init__(self, network: nn.Module, space: Tokens, key: int, rows: int, room: int):
        self.network, self.space, self.key, self.room = network, space, key, room
        self.texts: list[Text | None] = [None] * rows
        with torch.inference_mode():
            self.cache = cast(Seats, cast(CausalNetwork, network).start(rows, room))

    @property
    def free(self) -> int:
        """How many more texts can join."""
        return self.texts.count(None)

    @torch.inference_mode()
    def join(self, prompt: np.ndarray, nonce: int, controls: Controls) -> int:
        """Take a place for a text that goes on from `prompt`, one symbol or more; its row.

        Of `controls`, prompts and ended are not looked at. Raises ValueError where there is no place or no room.
        """
        if not self.free:
            raise ValueError(f"All {len(self.texts)} places are taken: wait until a text ends.")
        if not len(prompt) or len(prompt) + controls.length > self.room:
            raise ValueError(
                f"A prompt of {len(prompt)} symbols and {controls.length} more do not fit in {self.room}. "
                "Give a prompt, and a shorter one or a smaller length."
            )
        row = self.texts.index(None)
        context = np.asarray(prompt, dtype=np.int64)
        self.texts[row] = Text(nonce, controls, context, unread=context)
        self.cache.empty(row)
        return row

    def leave(self, row: int) -> None:
        """Give up a text before its end."""
        self.texts[row] = None

    @torch.inference_mode()
    def step(self) -> dict[int, int]:
        """The next symbol of every text, by row; those that end with it have left. New prompts are read along."""
        taken = {row: text for row, text in enumerate(self.texts) if text is not None}
        if not taken:
            return {}
        unread = [np.zeros(0, np.int64) if text is None else text.unread for text in self.texts]
        longest = max(map(len, unread))
        x_BL = torch.from_numpy(np.stack([np.pad(u, (0, longest - len(u))) for u in unread]))
        lengths = torch.tensor([len(u) for u in unread])
        logits_BV = read_to_end(self.network, x_BL, None, lengths, self.cache)
        return {row: self._write(row, text, logits_BV[row : row + 1]) for row, text in taken.items()}

    def _write(self, row: int, text: Text, logits_1V: torch.Tensor) -> int:
        symbol = int(symbols(logits_1V, [text.context], Noise(self.key, (text.nonce,)), text.controls))
        text.unread = np.array([symbol])
        text.context = np.append(text.context, symbol)
        text.written.append(symbol)
        full = len(text.written) == (text.controls.length or self.room) or len(text.context) == self.room
        if full or symbol in (self.space.stop, *text.controls.stops):
            self.leave(row)
        return symbol
