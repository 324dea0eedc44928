"""The states of prompts as native decoding reads them: keys and values of every layer, computed once for a text.

Shape letters: B rows, P states of a row, D width, K head width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.types import Condition

CACHE_BLOCK = 16  # positions of a block of attention.h


@dataclass(frozen=True)
class PromptStates:
    """Keys and values of the states of every row's prompt, in the layout of attention.h."""

    keys: tuple[Tensor, ...]  # by row: layers heads P*K, float16
    values: tuple[Tensor, ...]
    counts: tuple[int, ...]

    def select_rows(self, rows: Tensor) -> "PromptStates":
        keys, values, counts = (
            tuple(part[row] for row in rows.tolist()) for part in (self.keys, self.values, self.counts)
        )
        return PromptStates(keys, values, counts)

    def list_row_pointers(self) -> list[tuple[int, int, int, int]]:
        """Return where the keys and the values of each row are, how many states it has, and with padding."""
        return [
            (keys.data_ptr(), values.data_ptr(), count, round_up(count))
            for keys, values, count in zip(self.keys, self.values, self.counts, strict=True)
        ]


class PromptReader:
    """Maps prompts to the keys and values of cross-attention; a row's do not depend on other rows."""

    def __init__(self, blocks: Sequence[Any]):
        """Take the weights of the blocks' cross-attention; float64, so that the size of a product changes no bit."""
        layers = [block.cross_attention for block in blocks]
        self.heads = layers[0].heads
        self.weights = [layer.kv_proj.weight.detach().double() for layer in layers]
        self.null_states = [layer.null_state.detach().double() for layer in layers]

    def read(self, cond: Condition | None, count: int) -> PromptStates:
        """Return the states of `count` rows; without a condition, that for "no prompt"."""
        rows: list[Tensor] = [torch.zeros(0, len(self.null_states[0]), dtype=torch.float64)] * count
        if cond is not None and cond.tokens is not None:
            masks = torch.ones(cond.tokens.shape[:2], dtype=torch.bool) if cond.mask is None else cond.mask
            rows = [states[mask].double() for states, mask in zip(cond.tokens, masks, strict=True)]
        pairs = [self.read_row(states) for states in rows]
        return PromptStates(*(tuple(pair[n] for pair in pairs) for n in range(2)), tuple(len(r) + 1 for r in rows))

    def read_row(self, states_PD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and the values of all layers; keys block by block, feature by feature."""
        keys, values = [], []
        for weight, null_state in zip(self.weights, self.null_states, strict=True):
            kv_P = torch.cat([null_state[None], states_PD]) @ weight.T
            kv_P = F.pad(kv_P, (0, 0, 0, round_up(len(kv_P)) - len(kv_P)))
            k, v = kv_P.view(len(kv_P), 2, self.heads, -1).permute(1, 2, 0, 3)  # heads P K
            keys.append(k.unflatten(1, (-1, CACHE_BLOCK)).mT.flatten(1))
            values.append(v.flatten(1))
        return torch.stack(keys).half().contiguous(), torch.stack(values).half().contiguous()


def round_up(count: int) -> int:
    """Return how many states are stored, in whole blocks."""
    return -(-count // CACHE_BLOCK) * CACHE_BLOCK
