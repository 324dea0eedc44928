"""What a transformer remembers of the positions that it has read, and which of them each position may see.

Shape letters: B batch, L length, S cached length, G key heads, K head width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class KVCache:
    """Keys and values of every block, B G S K each, and the last symbols read (for hashed n-grams)."""

    keys_values: list[tuple[Tensor, Tensor]]
    lengths: Tensor
    prev_tokens: Tensor

    def select_rows(self, rows: Tensor) -> "KVCache":
        return KVCache([(k[rows], v[rows]) for k, v in self.keys_values], self.lengths[rows], self.prev_tokens[rows])

    def reset_row(self, row: int) -> None:
        """Give a row to another text."""
        self.lengths[row], self.prev_tokens[row] = 0, -1


# Keys, values, the positions of the new ones, and the span of positions that can be seen.
LayerCache = tuple[Tensor, Tensor, Tensor, slice]


def update_layer_cache(layer_cache: LayerCache, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Write new keys and values at their positions; padding is overwritten later, and masked until then."""
    keys, values, positions_BL, key_range = layer_cache
    rows_B1 = torch.arange(len(keys), device=keys.device)[:, None]
    keys[rows_B1, :, positions_BL] = k.transpose(1, 2)
    values[rows_B1, :, positions_BL] = v.transpose(1, 2)
    return keys[:, :, key_range], values[:, :, key_range]


def window_mask(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """Which keys each query may see: its own position and those before it, as far back as the network has learned."""
    distance = queries[..., None] - keys
    return (distance >= 0) & (distance < window)


def segment_mask(segments: Tensor) -> Tensor:
    """Which positions of a row belong to the same document, B L L."""
    return segments[:, :, None] == segments[:, None]


def segment_positions(segments: Tensor) -> Tensor:
    """Positions B L that begin with 0 in each document of a row."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    is_start = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0), value=True)
    return index - torch.where(is_start, index, 0).cummax(1).values
