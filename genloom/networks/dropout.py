"""Dropout whose masks belong to rows of the whole batch: the same however it is cut into pieces or ranks, and resumed.

Shape letters: B rows, N numbers of a row.
"""

from math import prod

import torch
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.types import Parts


class Dropout(nn.Module):
    """x B ... in training with a share of its numbers zero and the others greater by as much (Srivastava et al. 2014).

    A mask is a function of the row's own key and of the place in the row; several reads of a row in one step leave out
    the same. Nothing is left out where no gradient is wanted (targets, references), or where the rows are not known.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.keys_B: Tensor | None = None  # of the rows that come next, int32

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.p and torch.is_grad_enabled()) or self.keys_B is None:
            return x
        assert len(x) == len(self.keys_B), "what is learned from has a row for each row of the batch"
        return x * build_keep_mask(self.keys_B.to(x.device), x.shape, self.p).to(x.dtype) * (1 / (1 - self.p))


def set_dropout_keys(parts: Parts, noise: Noise | None) -> None:
    """Tell every dropout what rows come next, by their noise; None: that nothing is known of them."""
    layers = [
        layer for part in parts.values() for layer in part.modules() if isinstance(layer, Dropout) and layer.share
    ]
    if not layers:
        return
    keys_BK = None if noise is None else noise.layer_seeds(len(layers))
    for k, layer in enumerate(layers):
        layer.keys_B = None if keys_BK is None else keys_BK[:, k]


def build_keep_mask(keys_B: Tensor, shape: torch.Size, p: float) -> Tensor:
    """Where numbers of a tensor B ... stay, by a hash of key and place (the finalizer of MurmurHash3, Appleby 2011)."""
    index_N = torch.arange(prod(shape[1:]), dtype=torch.int32, device=keys_B.device)
    h = keys_B[:, None] ^ (index_N * -1640531535)  # 2^32 over the golden ratio: neighbours lie far apart
    h = (h ^ ((h >> 16) & 0xFFFF)) * -2048144789
    h = (h ^ ((h >> 13) & 0x7FFFF)) * -1028477387
    h = h ^ ((h >> 16) & 0xFFFF)
    return (h >= int(p * 2**32) - 2**31).view(shape)
