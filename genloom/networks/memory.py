"""What a transformer remembers of the positions that it has read, and which of them each position may see.

Shape letters: B batch, L length, S cached length, G key heads, K head width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Keys:
    """Keys and values of every block, B G S K each, and the last symbols read (for hashed n-grams)."""

    pairs: list[tuple[Tensor, Tensor]]
    lengths: Tensor
    last: Tensor

    def rows(self, rows: Tensor) -> "Keys":
        return Keys([(k[rows], v[rows]) for k, v in self.pairs], self.lengths[rows], self.last[rows])

    def empty(self, row: int) -> None:
        """Give a row to another text."""
        self.lengths[row], self.last[row] = 0, -1


# Keys, values, the positions of the new ones, and the span of positions that can be seen.
Memory = tuple[Tensor, Tensor, Tensor, slice]


def remember(memory: Memory, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Write new keys and values at their positions; padding is overwritten later, and masked until then."""
    keys, values, positions_BL, span = memory
    rows_B1 = torch.arange(len(keys), device=keys.device)[:, None]
    keys[rows_B1, :, positions_BL] = k.transpose(1, 2)
    values[rows_B1, :, positions_BL] = v.transpose(1, 2)
    return keys[:, :, span], values[:, :, span]


def within(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """Which keys each query may see: its own position and those before it, as far back as the network has learned."""
    ago = queries[..., None] - keys
    return (ago >= 0) & (ago < window)


def alike(segments: Tensor) -> Tensor:
    """Which positions of a row belong to the same document, B L L."""
    return segments[:, :, None] == segments[:, None]


def restarted(segments: Tensor) -> Tensor:
    """Positions B L that begin with 0 in each document of a row."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    begins = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0), value=True)
    return index - torch.where(begins, index, 0).cummax(1).values
