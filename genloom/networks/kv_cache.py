"""The key-value cache of a transformer and the masks of attention.

Shape letters: B batch, L length, S cached length, G key heads, K head width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class KVCache:
    """Keys and values of every block, B G S K each, and how many tokens each row has read."""

    keys_values: list[tuple[Tensor, Tensor]]
    lengths: Tensor

    def select_rows(self, rows: Tensor) -> "KVCache":
        return KVCache([(k[rows], v[rows]) for k, v in self.keys_values], self.lengths[rows])


# The keys and values of a layer, the positions of the new tokens, and the range of visible positions.
LayerCache = tuple[Tensor, Tensor, Tensor, slice]


def update_layer_cache(layer_cache: LayerCache, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Write new keys and values at their positions; padding is masked until later tokens overwrite it."""
    keys, values, positions_BL, key_range = layer_cache
    rows_B1 = torch.arange(len(keys), device=keys.device)[:, None]
    keys[rows_B1, :, positions_BL] = k.transpose(1, 2)
    values[rows_B1, :, positions_BL] = v.transpose(1, 2)
    return keys[:, :, key_range], values[:, :, key_range]


def build_window_mask(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """Return which keys each query may see: its own position and up to `window - 1` positions before it."""
    distance = queries[..., None] - keys
    return (distance >= 0) & (distance < window)


def build_segment_mask(segments: Tensor) -> Tensor:
    """Return which positions of a row belong to the same document, B L L."""
    return segments[:, :, None] == segments[:, None]


def compute_segment_positions(segments: Tensor) -> Tensor:
    """Return positions B L that start at 0 in each document of a row."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    is_start = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0), value=True)
    return index - torch.where(is_start, index, 0).cummax(1).values
